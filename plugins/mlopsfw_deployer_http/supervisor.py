"""The supervisor: owns the listening socket, keeps a server process behind it, and replaces that process without losing a request.

All server processes accept from the one socket, which stays open for as long as the supervisor lives: what waits in its queue while
a process is replaced, or dies, is answered by the next. It loads no model and answers nothing itself.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TextIO

from mlopsfw.contracts.deployer import EndpointSpec
from mlopsfw_deployer_http.compactor import Compactor
from mlopsfw_deployer_http.server import bind
from mlopsfw_deployer_http.service import log
from mlopsfw_deployer_http.settings import LOCK, PORT, STATUS, WANTED, Attempt, Settings, Status, read, write
from mlopsfw_deployer_http.worker import StartFailed, Worker

_SLOWEST = 5.0  # seconds between starts of a process that dies each time


class Supervisor:
    """Keeps one endpoint served.

    Args:
        folder: The endpoint's folder: `wanted.json` says what to serve, `status.json` is kept here.
        settings: What to serve first.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder, self._settings = folder, settings
        self._socket = _listen(folder, settings)
        self._worker: Worker | None = None
        self._serving: EndpointSpec | None = None  # the last that was ready
        self._attempt = Attempt(revision=settings.spec.revision, state="starting")
        self._restarts = 0
        self._stopped = False
        self._asked, self._ended = asyncio.Event(), asyncio.Event()
        self._draining: set[asyncio.Task[None]] = set()
        self._compactor = Compactor(folder / WANTED)

    async def run(self) -> int:
        """Serve until told to end; return the exit status."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._asked.set)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ended.set)
        self._publish()
        if not await self._change(self._settings):
            return 1
        compacting = loop.create_task(self._compactor.run())
        await self._watch()
        compacting.cancel()
        await self._stop()
        return 0

    async def _watch(self) -> None:
        """React until the end: a new revision is wanted, or the server process died."""
        ended, asked = (asyncio.create_task(event.wait()) for event in (self._ended, self._asked))
        while not self._ended.is_set():
            assert self._worker is not None  # noqa: S101 - there always is one between the first start and the end
            died = asyncio.create_task(self._worker.exited())
            leaving = self._worker.leaving()
            await asyncio.wait({ended, asked, died, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if self._asked.is_set():
                self._asked.clear()
                asked = asyncio.create_task(self._asked.wait())
                wanted = read(self._folder / WANTED, Settings)
                if wanted is not None and wanted.spec.revision != self._settings.spec.revision:
                    await self._change(wanted)
            elif died.done() and not self._ended.is_set():
                await self._revive()
            elif leaving.done() and not self._ended.is_set():
                await self._relieve()
            died.cancel()
        asked.cancel()

    # -- changing what is served -----------------------------------------------------------------------------------------

    async def _change(self, wanted: Settings) -> bool:
        """Start a process for `wanted`; once it is ready the old one drains. A process that cannot start changes nothing."""
        self._attempt = Attempt(revision=wanted.spec.revision, state="starting")
        self._publish()
        try:
            started = await Worker.start(self._state(wanted), wanted, self._socket)
        except StartFailed as error:
            self._attempt = Attempt(revision=wanted.spec.revision, state="failed", detail=str(error))
            log("refused", revision=wanted.spec.revision, error=str(error))
            self._publish()
            return False
        old, self._worker, self._settings, self._serving = self._worker, started, wanted, wanted.spec
        self._attempt = Attempt(revision=wanted.spec.revision, state="ready")
        self._publish()
        if old is not None:
            self._retire(old)
        return True

    def _state(self, settings: Settings) -> Path:
        file = self._folder / f"revision-{settings.spec.revision}.json"
        write(file, settings)
        for other in self._folder.glob("revision-*.json"):
            if other != file and other != self._folder / f"revision-{self._settings.spec.revision}.json":
                other.unlink(missing_ok=True)
        return file

    def _retire(self, worker: Worker) -> None:
        task = asyncio.create_task(worker.end(b"replace\n"))
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)

    async def _relieve(self) -> None:
        """Put another process in the place of one that was asked to end; it serves until the other does."""
        leaving = self._worker
        if not await self._change(self._settings) and leaving is not None:
            await leaving.end(b"replace\n")  # its death is noticed, and starting another is tried again

    async def _revive(self) -> None:
        """Replace a process that died; at once the first time, then ever slower while it keeps dying."""
        wait = 0.0
        log("died", worker=self._worker.pid if self._worker else 0)
        self._worker = None
        self._publish()
        while not self._ended.is_set():
            self._restarts += 1
            try:
                self._worker = await Worker.start(self._state(self._settings), self._settings, self._socket)
            except StartFailed as error:
                log("restart failed", error=str(error))
                wait = min(_SLOWEST, wait * 2 or 0.25)
                await asyncio.sleep(wait)
            else:
                self._publish()
                return

    async def _stop(self) -> None:
        if self._worker is not None:
            await self._worker.end(b"stop\n")
        self._socket.close()
        if self._draining:
            await asyncio.wait(self._draining)
        self._worker, self._serving, self._stopped = None, None, True
        self._publish()

    def _publish(self) -> None:
        write(
            self._folder / STATUS,
            Status(
                url=_url(self._settings, self._socket), supervisor=os.getpid(), serving=self._serving, attempt=self._attempt,
                worker=self._worker.pid if self._worker else 0, restarts=self._restarts, stopped=self._stopped,
            ),
        )  # fmt: skip


def _listen(folder: Path, settings: Settings) -> socket.socket:
    """Bind the wanted port; for a free one, the one that the endpoint had before if nobody has taken it."""
    file = folder / PORT
    if settings.port == 0 and file.exists():
        try:
            return bind(settings, int(file.read_text()))
        except (OSError, ValueError):
            pass  # taken meanwhile: another one is as good
    listening = bind(settings, settings.port)
    file.write_text(str(listening.getsockname()[1]))
    return listening


def _url(settings: Settings, listening: socket.socket) -> str:
    shown = f"[{settings.host}]" if ":" in settings.host else settings.host
    if listening.fileno() < 0:
        return ""
    return f"http://{shown}:{listening.getsockname()[1]}"


def main(arguments: list[str]) -> int:
    """Run the supervisor; with `--daemon` as a process of its own, whose starter need not wait."""
    parser = argparse.ArgumentParser(prog="mlopsfw_deployer_http.supervisor")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--daemon", action="store_true")
    options = parser.parse_args(arguments)
    os.umask(0o077)
    lock = _hold(options.folder)
    if options.daemon and os.fork():
        return 0  # the child holds the lock on
    lock.write(str(os.getpid()))
    lock.flush()
    settings = read(options.folder / WANTED, Settings)
    return 1 if settings is None else asyncio.run(_supervise(options.folder, settings))


def _hold(folder: Path) -> TextIO:
    """Take the folder for as long as this process or its child lives; a look at the lock may hold it for a moment."""
    lock = (folder / LOCK).open("a+", encoding="ascii")
    for _ in range(100):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
        else:
            lock.truncate(0)
            return lock
    raise SystemExit(f"{folder} has a supervisor already")


async def _supervise(folder: Path, settings: Settings) -> int:
    try:
        supervisor = Supervisor(folder, settings)
    except OSError as error:
        detail = f"cannot listen on {settings.host}, port {settings.port}: {error.strerror}"
        attempt = Attempt(revision=settings.spec.revision, state="failed", detail=detail)
        write(folder / STATUS, Status(url="", supervisor=os.getpid(), attempt=attempt))
        return 1
    return await supervisor.run()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
