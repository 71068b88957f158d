"""What all connections of one server process share: the service, the commit before answers leave, limits, and the drain."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import msgspec

from mlopsfw_deployer_http.message import Answer, Refusal, Request
from mlopsfw_deployer_http.wire import Connection

_SWEEP = 0.25  # seconds between looks for connections that take too long
_LINGER = 1.0  # seconds in which a client may read our last answer before the socket goes


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much a client may ask for.

    Args:
        body: Bytes of a body.
        head: Bytes of a request's target and headers together.
        inline: Bytes of a body up to which the request is answered on the event loop; longer ones go to a thread, so that
            a batch does not hold up the others.
        connections: Open connections.
        receive: Seconds for a request to arrive, once begun.
        idle: Seconds a connection may wait for its next request.
        labels, labels_per_second: Labels of one request, and of one client a second; 0 a second for no limit.
    """

    body: int = 8 << 20
    head: int = 32 << 10
    inline: int = 64 << 10
    connections: int = 4096
    receive: float = 30.0
    idle: float = 75.0
    labels: int = 10_000
    labels_per_second: float = 2_000.0


class Service(Protocol):
    """What answers. Thread-safe: long requests come from a thread."""

    ready: bool

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
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batch")
        self._server: asyncio.Server | None = None
        self._tasks = [self.loop.create_task(self._every(_SWEEP, self._sweep)), self.loop.create_task(self._sync())]

    async def start(self, listening: socket.socket) -> None:
        """Accept connections from `listening`, which other processes may accept from as well."""
        self._server = await self.loop.create_server(lambda: Connection(self), sock=listening, backlog=1024)

    # -- called by connections -------------------------------------------------------------------------------------------

    def admit(self, connection: Connection) -> bool:
        """Count `connection`; return whether there is room for it."""
        self._connections.add(connection)
        return len(self._connections) <= self.limits.connections

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    def forget(self, connection: Connection) -> None:
        """Count it no longer."""
        self._connections.discard(connection)

    def answer(self, request: Request) -> Answer:
        """Answer on the event loop."""
        return self._service.answer(request)

    def answer_aside(self, request: Request) -> asyncio.Future[Answer]:
        """Answer in a thread."""
        return self.loop.run_in_executor(self._pool, self._service.answer, request)

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
        for connection in list(self._connections):
            waited = now - connection.since
            if connection.blocked and waited > self.limits.receive:
                connection.abort()
            elif connection.finished and not connection.unsent and waited > _LINGER:
                connection.close()
            elif connection.in_message and not connection.finished and waited > self.limits.receive:
                connection.refuse(Refusal(408, f"the request did not arrive within {self.limits.receive:g} s"))
            elif connection.idle and waited > self.limits.idle:
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
