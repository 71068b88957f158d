"""HTTP/1.1 on asyncio: bytes to `Request`, `Answer` to bytes, limits, time-outs, and the end of a connection.

llhttp parses (strictly, through httptools). The service decides on the answers; this module never looks inside them.

"""

from __future__ import annotations

import asyncio
import re
import socket
from collections import deque
from typing import TYPE_CHECKING, Any, cast

import httptools

from mlopsfw_deployer_http.batches import BUSY
from mlopsfw_deployer_http.message import Answer, Refusal, Request, to_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlopsfw_deployer_http.listener import Listener

_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE)
_ONCE = frozenset({b"host", b"content-length", b"content-type", b"authorization", b"origin", b"content-encoding"})
_MAX_HEADERS = 100
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CROWDED = Refusal(503, "too many connections; try again", headers=b"retry-after: 1\r\n")


class Connection(asyncio.Protocol):
    """The connection of one client.

    Args:
        listener: The listener that accepted it, with the limits, the service and the state shared by all connections.
    """

    __slots__ = (
        "_arriving", "_body", "_busy", "_client", "_discards", "_eof", "_headers", "_held", "_job", "_listener", "_parser", "_queue",
        "_refusal", "_size", "_transport", "_url",
        "asked", "blocked", "finished", "in_head", "in_message", "reserved", "since", "unsent",
    )  # fmt: skip

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._parser: Any = httptools.HttpRequestParser(self)
        self._queue: deque[tuple[Request, bool]] = deque()
        self._busy = self._eof = False
        self._job: asyncio.Task[Answer] | None = None
        self._arriving = self._held = 0  # bytes of the arriving body, and of those before, that `batches` counts
        self.in_head = False  # a request's target or headers are arriving
        self.asked = 0  # how many whole requests have arrived
        self.reserved = False  # it has one of the reserved places for health and metrics
        self.unsent = 0  # requests received but not answered yet
        self.in_message = False
        self.blocked = False  # the client does not read our answers
        self.finished = False  # no more requests are read: the last answer is being sent
        self._body: list[bytes] = []
        self.since = 0.0  # when it last changed between idle, receiving and ending

    # -- the transport's calls -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start; refuse the connection if there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._client = str(peer[0]) if isinstance(peer, tuple) else ""
        self.since = self._listener.loop.time()
        if not self._listener.admit(self):
            self.refuse(CROWDED)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        del exc
        self.finished = True
        self._queue.clear()
        self._body = []  # the parser and this object refer to each other: only a collection, which is rare, frees them
        if self._job is not None:
            self._job.cancel()
        self._held, self._arriving = self._held + self._arriving, 0
        self._release()
        self._listener.forget(self)

    def data_received(self, data: bytes) -> None:
        """Feed the parser. Answer input that is not HTTP with 400, and end the connection."""
        if self.finished:
            return  # lingering: read and discard, so that the client can read our last answer
        pipelined, growing = self._busy, self._headers if self.in_head else None
        try:
            self._parser.feed_data(data)
            if (
                self.in_head and self._headers is growing
            ):  # the parser reports a header once it is complete: its growth is counted here
                self._count(len(data))
        except Refusal as refusal:
            self.refuse(refusal)
        except httptools.HttpParserUpgrade:
            self._finish()  # the request was answered without the upgrade; the following bytes are not HTTP/1.1
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, Refusal):
                raise
            self.refuse(error.__context__)
        except httptools.HttpParserError as error:
            self.refuse(Refusal(400, f"not a valid HTTP/1.1 request: {error}"))
        if pipelined:  # read on only for a client that waits for its answer, to see whether it leaves
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Close now, or after the last pending answer.

        A client that is gone looks like one that only sends no more, until it is sent something.
        """
        self._eof = True
        if self._busy and self._parser.get_http_version() == "1.1":
            self._transport.write(_CONTINUE)
        return self.unsent > 0

    @property
    def gone(self) -> bool:
        """Whether the client of a request in progress has closed its socket."""
        if not (self._busy and self._eof):
            return False
        return bool(self._transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def pause_writing(self) -> None:
        """Read no further requests while the client does not read answers."""
        self.blocked, self.since = True, self._listener.loop.time()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Continue."""
        self.blocked = False
        if not self.unsent:
            self._release()
        if not self._busy:
            self._transport.resume_reading()

    def _release(self) -> None:
        self._listener.batches.release(self._held)
        self._held = 0

    # -- the parser's calls ----------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin a request."""
        self.in_message = self.in_head = True
        self.since = self._listener.loop.time()
        self._url, self._size = b"", 0
        self._headers: dict[bytes, bytes] = {}
        self._body = []
        self._discards = False  # the request is refused, whatever its body holds
        self._refusal: Refusal | None = None  # what it is refused with, where its head does not say so

    def on_url(self, url: bytes) -> None:
        """Take a part of the request's target."""
        self._url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._count(len(name) + len(value))
        name = name.lower()
        if name in self._headers:
            if name in _ONCE:
                raise Refusal(400, f"the header {name.decode('ascii', 'replace')} appears twice")
            value = b"%b, %b" % (self._headers[name], value)
        elif len(self._headers) >= _MAX_HEADERS:
            raise Refusal(431, f"more than {_MAX_HEADERS} headers")
        self._headers[name] = value

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > self._listener.limits.head:
            raise Refusal(431, f"the request's head is longer than {self._listener.limits.head} bytes")

    def on_headers_complete(self) -> None:
        """Check the head before a body is read: one that is too long ends the connection, one that may not pass is not kept.

        Answer `Expect: 100-continue`.
        """
        length = int(self._headers.get(b"content-length", b"0"))
        if length > self._listener.limits.body:
            raise self._too_long()
        self._size, self.in_head = 0, False
        asks = self._headers.get(b"expect", b"").lower() == b"100-continue" and not self._queue and not self.unsent
        if length or b"transfer-encoding" in self._headers:
            try:
                self._listener.check(self._request(b""))
            except Refusal:
                if asks:
                    raise
                self._discards = True
        if asks:
            self._transport.write(_CONTINUE)

    def _request(self, body: bytes) -> Request:
        target = self._url
        if target[:1] != b"/" and (
            absolute := _ABSOLUTE.fullmatch(target)
        ):  # its authority stands for the Host header (RFC 9112, 3.2.2)
            self._headers[b"host"], target = absolute[1], absolute[2] or b"/"
        path = target.partition(b"?")[0].decode("ascii", "replace")
        return Request(self._parser.get_method().decode("ascii"), path, self._headers, body, self._client)

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._size += len(body)
        if self._size > self._listener.limits.body:
            raise self._too_long()
        if self._discards:
            return
        self._body.append(body)
        if self._size > self._listener.inline:
            self._hold(self._size - self._arriving)

    def _hold(self, size: int) -> None:
        if self._listener.batches.hold(size):
            self._arriving += size
        else:
            self._discards, self._refusal = True, BUSY
            self._body.clear()
            self._listener.batches.release(self._arriving)
            self._arriving = 0

    def _too_long(self) -> Refusal:
        return Refusal(413, f"the body is longer than {self._listener.limits.body} bytes; send fewer rows at a time")

    def on_message_complete(self) -> None:
        """Answer the request, or queue it behind the current one."""
        self.in_message, self.asked, self.since = False, self.asked + 1, self._listener.loop.time()
        if self.finished:
            return  # pipelined after a request that ended the connection
        self._held, self._arriving = self._held + self._arriving, 0
        request = self._request(self._body[0] if len(self._body) == 1 else b"".join(self._body))
        self._body = []  # else it would stay in memory until the client's next request, or longer
        request.refusal = self._refusal
        self.unsent += 1
        if self._busy:
            self._queue.append((request, self._parser.should_keep_alive()))
        else:
            self._serve(request, keep_alive=self._parser.should_keep_alive())

    # -- answering -------------------------------------------------------------------------------------------------------

    def _serve(self, request: Request, *, keep_alive: bool) -> None:
        if self.reserved and self._listener.crowded:
            keep_alive = False
            if request.path not in self._listener.vital:
                self._send(self._listener.refused(CROWDED), request, keep_alive=False)
                return
        if request.refusal is not None:
            self._send(self._listener.refused(request.refusal), request, keep_alive=keep_alive)
        elif len(request.body) <= self._listener.inline and (answer := self._listener.answer(request)) is not None:
            self._send(answer, request, keep_alive=keep_alive)
        else:
            self._busy = True
            self._job = self._listener.answer_aside(request)
            self._job.add_done_callback(lambda done: self._served(done, request, keep_alive=keep_alive))

    def _served(self, done: asyncio.Task[Answer], request: Request, *, keep_alive: bool) -> None:
        if done.cancelled():
            return
        self._busy, self._job = False, None
        self._send(done.result(), request, keep_alive=keep_alive)
        while self._queue and not self._busy and not self.finished:
            following, keep = self._queue.popleft()
            self._serve(following, keep_alive=keep)
        if not self._busy and not self.blocked and not self._transport.is_closing():
            self._transport.resume_reading()

    def _send(self, answer: Answer, request: Request, *, keep_alive: bool) -> None:
        close = not keep_alive or self._listener.draining
        self._listener.commit(self, to_bytes(answer, close=close, with_body=request.method != "HEAD"), answer)
        if close:
            self._finish()

    def written(self, data: bytes, chunks: Sequence[bytes]) -> None:
        """Send an answer whose records capture has stored."""
        self.unsent -= 1
        if not self._transport.is_closing():
            if chunks:
                self._transport.writelines([data, *chunks])
            else:
                self._transport.write(data)
        if not self.unsent:
            if not self.blocked:
                self._release()
            if self.finished:
                self._end()
            elif self._eof:
                self._transport.close()

    # -- ending ----------------------------------------------------------------------------------------------------------

    def refuse(self, refusal: Refusal) -> None:
        """Answer an incomplete or invalid request, and end the connection."""
        if self.finished:
            return  # the last answer is being sent; ignore everything after it
        if self._busy:  # it followed a request in progress, whose answer is the last
            self._finish()
            return
        answer = self._listener.refused(refusal)
        self.unsent += 1
        self._finish()
        self._listener.commit(self, to_bytes(answer, close=True), answer)

    def _finish(self) -> None:
        self.finished, self.since = True, self._listener.loop.time()
        self.unsent -= len(self._queue)
        self._queue.clear()
        if not self.unsent:
            self._end()

    def _end(self) -> None:
        """Send FIN and linger: closing with unread data in the buffer would reset the connection before the client reads our answer."""
        self.since = self._listener.loop.time()
        if not self._transport.is_closing() and self._transport.can_write_eof():
            self._transport.write_eof()

    def close(self) -> None:
        """Close, whatever is in progress."""
        self._transport.close()

    def abort(self) -> None:
        """Drop a client that does not read."""
        self._transport.abort()

    def make_way(self) -> None:
        """Close at once to make room. If a request was arriving, tell the client why, as far as it still reads."""
        if self.in_message and not self.finished and not self.blocked:
            self._transport.write(to_bytes(self._listener.refused(CROWDED), close=True))
        self.finished = True
        if self.blocked:
            self._transport.abort()
        else:
            self._transport.close()

    @property
    def idle(self) -> bool:
        """Whether it waits for a request."""
        return not (self.in_message or self.unsent or self.finished)
