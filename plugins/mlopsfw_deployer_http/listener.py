"""The shared state of all connections of a server process: the service, the commit before answers are sent, limits, and the drain."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol

import msgspec

from mlopsfw_deployer_http.batches import Batches
from mlopsfw_deployer_http.batches import Service as LongService
from mlopsfw_deployer_http.connection import Connection
from mlopsfw_deployer_http.crowd import victims
from mlopsfw_deployer_http.message import Answer, Refusal, Request

_SLOW = 0.1  # seconds for which an answer may block the event loop before longer requests go to the thread
_SWEEP = 0.25  # seconds between checks for connections that take too long
_SEARCH = 0.05  # seconds between searches for connections to close
_LINGER = 1.0  # seconds for a client to read our last answer before the socket is closed


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of a client.

    Args:
        body: Bytes of a body.
        head: Bytes of a request's target and headers together.
        inline: The most bytes of a body answered on the event loop. Longer ones go to a thread, so that
            batches do not delay other requests: twenty clients with bodies of this length delay one by some milliseconds.
        connections: Open connections. Near this number, connections that wait for no answer are closed for new ones.
        begin: Seconds for a request's target and headers to arrive; for the first request since the connection was opened.
        receive: Seconds for a whole request to arrive, once begun.
        idle: Seconds a connection may wait for its next request.
        compute: Seconds to compute the answer to a long request.
    """

    body: int = 8 << 20
    head: int = 32 << 10
    inline: int = 8 << 10
    connections: int = 4096
    begin: float = 10.0
    receive: float = 30.0
    idle: float = 75.0
    compute: float = 60.0

    @property
    def reserve(self) -> int:
        """How many connections are reserved for health and metrics."""
        return min(64, max(1, self.connections // 8))


class Service(LongService, Protocol):
    """Answers requests. Thread-safe: long requests come from a thread."""

    ready: bool
    vital: frozenset[str]

    def answer(self, request: Request) -> Answer | None:
        """Return the answer, None where it is to be computed in steps; never raises."""
        ...

    def check(self, head: Request) -> None:
        """Raise `Refusal` where a request may not pass, whatever its body holds."""
        ...

    def refused(self, refusal: Refusal) -> Answer:
        """Return the answer to an invalid request."""
        ...


class Capture(Protocol):
    """Stores records before answers are sent."""

    def write(self, records: list[tuple[bytes, int]]) -> None:
        """Store `(record, rows)`; never raises."""
        ...

    def sync(self) -> None:
        """Make the written records survive a power failure."""
        ...


class Listener:
    """Serves connections on one event loop.

    Args:
        service: Answers requests.
        capture: Stores records.
        limits: The limits of a client.
    """

    def __init__(self, service: Service, capture: Capture, limits: Limits) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits, self.draining = limits, False
        self._service, self._capture = service, capture
        self._connections: set[Connection] = set()
        self._pending: list[tuple[Connection, bytes, Answer]] = []
        self._dirty = False
        self.inline = limits.inline  # bytes up to which a body is answered on the event loop
        self._search_again = 0.0
        self.vital, self.evicted = service.vital, 0
        self.batches = Batches(service, limits.body, limits.compute)
        self._server: asyncio.Server | None = None
        self._tasks = [self.loop.create_task(self._every(_SWEEP, self._sweep)), self.loop.create_task(self._sync())]

    async def start(self, listening: socket.socket) -> None:
        """Accept connections from `listening`, from which other processes may accept, too."""
        self._server = await self.loop.create_server(lambda: Connection(self), sock=listening, backlog=1024)

    # -- called by connections -------------------------------------------------------------------------------------------

    def admit(self, connection: Connection) -> bool:
        """Count `connection`; return whether there is room for it.

        If there are too many, it closes others. If all of them wait for an answer, the connection gets one of the places that are
        reserved for health and metrics.
        """
        self._connections.add(connection)
        if self.crowded:
            self._make_room(connection)
            connection.reserved = self.crowded
        return len(self._connections) <= self.limits.connections

    @property
    def crowded(self) -> bool:
        """Whether only the reserved places are left."""
        return len(self._connections) > self.limits.connections - self.limits.reserve

    def _make_room(self, newest: Connection) -> None:
        """Close several at once, so that one search serves many. A search without result is not repeated at once."""
        now = self.loop.time()
        if now < self._search_again:
            return
        over = len(self._connections) - (self.limits.connections - self.limits.reserve)
        found = victims(self._connections - {newest}, now, over + self.limits.connections // 16)
        if not found:
            self._search_again = now + _SEARCH
        for connection in found:
            self._connections.discard(connection)
            connection.make_way()
        self.evicted += len(found)

    @property
    def open(self) -> int:
        """The number of connections."""
        return len(self._connections)

    def forget(self, connection: Connection) -> None:
        """Stop counting the connection."""
        self._connections.discard(connection)

    def check(self, head: Request) -> None:
        """Raise `Refusal` where a request may not pass, whatever its body holds."""
        self._service.check(head)

    def answer(self, request: Request) -> Answer | None:
        """Answer on the event loop, if that does not take long. If the model turns out to be slow, answer fewer requests there from now on."""
        began = self.loop.time()
        answer = self._service.answer(request)
        if self.loop.time() - began > _SLOW:
            self.inline = min(self.inline, len(request.body) // 2)
        return answer

    def answer_aside(self, request: Request) -> asyncio.Task[Answer]:
        """Answer in a thread, and store all records but the last."""
        return self.loop.create_task(self._aside(request))

    async def _aside(self, request: Request) -> Answer:
        answer = await self.batches.answer(request)
        for record in answer.earlier:
            self._store([record])
            await asyncio.sleep(0)
        return answer

    def refused(self, refusal: Refusal) -> Answer:
        """Count an invalid request."""
        return self._service.refused(refusal)

    def commit(self, connection: Connection, data: bytes, answer: Answer) -> None:
        """Write `data` once `answer`'s record is stored. One system call stores all records of one turn of the event loop."""
        if not self._pending:
            self.loop.call_soon(self._flush)
        self._pending.append((connection, data, answer))

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        records = [(answer.record, answer.rows) for _, _, answer in pending if answer.record]
        if records:
            self._store(records)
        for connection, data, answer in pending:
            connection.written(data, answer.chunks)

    def _store(self, records: list[tuple[bytes, int]]) -> None:
        self._capture.write(records)
        self._dirty = True

    # -- time ------------------------------------------------------------------------------------------------------------

    async def _every(self, seconds: float, act: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(seconds)
            act()

    async def _sync(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            if self._dirty:
                self._dirty = False
                await self.loop.run_in_executor(None, self._capture.sync)

    def _sweep(self) -> None:
        now = self.loop.time()
        self.inline = min(
            self.limits.inline, self.inline + self.inline // 100 + 16
        )  # a machine that was busy is forgotten
        for connection in list(self._connections):
            waited = now - connection.since
            if connection.gone or (connection.blocked and waited > self.limits.receive):
                connection.abort()
            elif connection.finished and not connection.unsent and waited > _LINGER:
                connection.close()
            elif connection.in_message and not connection.finished and waited > self.limits.receive:
                connection.refuse(Refusal(408, f"the request did not arrive within {self.limits.receive:g} s"))
            elif connection.in_head and not connection.finished and waited > self.limits.begin:
                connection.refuse(Refusal(408, f"the request's head did not arrive within {self.limits.begin:g} s"))
            elif connection.idle and waited > (self.limits.idle if connection.asked else self.limits.begin):
                connection.close()

    # -- the end ---------------------------------------------------------------------------------------------------------

    async def drain(self, seconds: float, grace: float, *, keep_accepting: bool) -> None:
        """Drain without failing a request.

        From now on readiness fails, and each answer says `Connection: close`. Clients may send on their open connections for another
        `seconds`; then idle connections are closed, and current requests have `grace` seconds to finish.

        Args:
            seconds: How long idle connections stay open.
            grace: How long current requests may take after that.
            keep_accepting: Whether to accept new connections meanwhile: if no other process listens.
        """
        self._service.ready = False
        self.draining = True
        if not keep_accepting:
            self._stop_accepting()
        await self._until(lambda: not self._connections and not keep_accepting, seconds)
        self._stop_accepting()
        await self._until(lambda: all(c.idle or c.finished for c in self._connections), grace)
        for connection in list(self._connections):
            if connection.idle:
                connection.close()
        await self._until(lambda: not self._connections, _LINGER)
        await self._close()

    def _stop_accepting(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _until(self, done: Callable[[], bool], seconds: float) -> None:
        end = self.loop.time() + seconds
        while not done() and self.loop.time() < end:  # noqa: ASYNC110 - conditions over many connections
            await asyncio.sleep(0.01)

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for connection in list(self._connections):
            connection.close()
        await asyncio.sleep(0)
        self.batches.close()
