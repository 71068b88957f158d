"""What all connections of one server process share: the service, the commit before answers leave, limits, and the drain."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import msgspec

from mlopsfw_deployer_http.connection import Connection
from mlopsfw_deployer_http.crowd import victims
from mlopsfw_deployer_http.message import Answer, Refusal, Request

_SLOW = 0.1  # seconds that an answer may hold up the event loop before longer requests go to the thread
_SWEEP = 0.25  # seconds between looks for connections that take too long
_SEARCH = 0.05  # seconds until it is looked again for connections that can make way
_LINGER = 1.0  # seconds in which a client may read our last answer before the socket goes


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much a client may ask for.

    Args:
        body: Bytes of a body.
        head: Bytes of a request's target and headers together.
        inline: Bytes of a body up to which the request is answered on the event loop; longer ones go to a thread, so that
            a batch does not hold up the others.
        connections: Open connections. When they near this, those that nobody waits on are closed for new ones.
        begin: Seconds for a request's target and headers to arrive; for the first one from when the connection was opened.
        receive: Seconds for a request to arrive, once begun.
        idle: Seconds a connection may wait for its next request.
    """

    body: int = 8 << 20
    head: int = 32 << 10
    inline: int = 64 << 10
    connections: int = 4096
    begin: float = 10.0
    receive: float = 30.0
    idle: float = 75.0

    @property
    def reserve(self) -> int:
        """How many of the connections are kept for health and metrics."""
        return min(64, max(1, self.connections // 8))


class Service(Protocol):
    """What answers. Thread-safe: long requests come from a thread."""

    ready: bool
    vital: frozenset[str]

    def answer(self, request: Request) -> Answer:
        """Return the answer; never raises."""
        ...

    def refused(self, refusal: Refusal) -> Answer:
        """Return the answer to what was not even a request."""
        ...


class Capture(Protocol):
    """Where records go before answers leave."""

    def write(self, records: list[tuple[bytes, int]]) -> None:
        """Keep `(record, rows)`; never raises."""
        ...

    def sync(self) -> None:
        """Make what was written outlive a loss of power."""
        ...


class Listener:
    """Serves connections on one event loop.

    Args:
        service: Answers.
        capture: Keeps.
        limits: What a client may ask for.
    """

    def __init__(self, service: Service, capture: Capture, limits: Limits) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits, self.draining = limits, False
        self._service, self._capture = service, capture
        self._connections: set[Connection] = set()
        self._pending: list[tuple[Connection, bytes, Answer]] = []
        self._dirty = False
        self.inline = limits.inline  # bytes of a body that is answered on the event loop
        self._computing_since = self._search_again = 0.0
        self.vital, self.evicted = service.vital, 0
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batch")
        self._server: asyncio.Server | None = None
        self._tasks = [self.loop.create_task(self._every(_SWEEP, self._sweep)), self.loop.create_task(self._sync())]

    async def start(self, listening: socket.socket) -> None:
        """Accept connections from `listening`, which other processes may accept from as well."""
        self._server = await self.loop.create_server(lambda: Connection(self), sock=listening, backlog=1024)

    # -- called by connections -------------------------------------------------------------------------------------------

    def admit(self, connection: Connection) -> bool:
        """Count `connection`; return whether there is room for it.

        Where there are too many, others make way. Where none can, since an answer is owed on all, it gets one of the places that are
        kept for health and metrics.
        """
        self._connections.add(connection)
        if self.crowded:
            self._make_room(connection)
            connection.reserved = self.crowded
        return len(self._connections) <= self.limits.connections

    @property
    def crowded(self) -> bool:
        """Whether only the reserve is left."""
        return len(self._connections) > self.limits.connections - self.limits.reserve

    def _make_room(self, newest: Connection) -> None:
        """Close some at once, so that the search is paid for by many; one that found nobody is not repeated at once."""
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
        """How many connections there are."""
        return len(self._connections)

    def forget(self, connection: Connection) -> None:
        """Count it no longer."""
        self._connections.discard(connection)

    def answer(self, request: Request) -> Answer:
        """Answer on the event loop; where the model turns out to be slow, fewer requests are from then on."""
        began = self.loop.time()
        answer = self._service.answer(request)
        if self.loop.time() - began > _SLOW:
            self.inline = min(self.inline, len(request.body) // 2)
        return answer

    def answer_aside(self, request: Request) -> asyncio.Future[Answer]:
        """Answer in a thread."""
        return self.loop.run_in_executor(self._pool, self._compute, request)

    def _compute(self, request: Request) -> Answer:
        self._computing_since = time.monotonic()
        try:
            return self._service.answer(request)
        finally:
            self._computing_since = 0.0

    @property
    def computing(self) -> float:
        """Seconds since the thread began to answer its request; 0 where it waits for one."""
        since = self._computing_since
        return time.monotonic() - since if since else 0.0

    def refused(self, refusal: Refusal) -> Answer:
        """Count what was not even a request."""
        return self._service.refused(refusal)

    def commit(self, connection: Connection, data: bytes, answer: Answer) -> None:
        """Write `data` once `answer`'s record is kept: all that came in one turn of the event loop with one system call."""
        if not self._pending:
            self.loop.call_soon(self._flush)
        self._pending.append((connection, data, answer))

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        records = [(answer.record, answer.rows) for _, _, answer in pending if answer.record]
        if records:
            self._capture.write(records)
            self._dirty = True
        for connection, data, _ in pending:
            connection.written(data)

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
            if connection.blocked and waited > self.limits.receive:
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
        """End without failing a request.

        Readiness fails from now on and each answer says `Connection: close`. For `seconds` clients may still send on the
        connections that they hold; then idle ones are closed, and what is in flight has `grace` seconds to finish.

        Args:
            seconds: How long idle connections stay.
            grace: How long requests in flight may take after that.
            keep_accepting: Whether new connections are taken meanwhile: yes where nobody else listens.
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
        self._pool.shutdown()
