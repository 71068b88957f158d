"""The supervisor: owns the listening socket, keeps a server process behind it, and replaces that process without losing a request.

All server processes accept from one socket, which stays open as long as the supervisor lives: the next process answers the connections that
queue while one is replaced or dies. The supervisor itself loads no model and answers nothing.

"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from mlopsfw.roles import EndpointSpec
from mlopsfw_deployer_http.compactor import Compactor
from mlopsfw_deployer_http.holding import hold, sign
from mlopsfw_deployer_http.logs import log, rotate
from mlopsfw_deployer_http.server import bind
from mlopsfw_deployer_http.settings import (
    LOCK,
    LOG,
    PORT,
    STATUS,
    WANTED,
    Attempt,
    Settings,
    Status,
    read,
    write,
    write_changed,
)
from mlopsfw_deployer_http.worker import StartFailed, Worker

_SLOWEST = 5.0  # seconds between starts of a process that keeps dying


class Supervisor:
    """Keeps one endpoint served. No failure here or on the disk ends it, since it restarts everything else.

    Args:
        folder: The endpoint's folder: `wanted.json` names the model to serve, `status.json` shows the state.
        settings: The first model to serve.
        ready: Called once the first model answers.
    """

    def __init__(self, folder: Path, settings: Settings, ready: Callable[[], None] | None = None) -> None:
        self._folder, self._settings, self._ready = folder, settings, ready
        self._socket = _listen(folder, settings)
        self._worker: Worker | None = None
        self._serving: EndpointSpec | None = None  # the last one that was ready
        self._attempt = Attempt(revision=settings.spec.revision, state="starting")
        self._restarts = 0
        self._stopped = False
        self._published = True  # whether status.json shows the current state
        self._asked, self._ended = asyncio.Event(), asyncio.Event()
        self._guard: asyncio.Task[None] | None = None
        self._draining: set[asyncio.Task[None]] = set()
        self._compactor = Compactor(folder / WANTED)

    async def run(self) -> int:
        """Serve until stopped; return the exit status."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._asked.set)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ended.set)
        self._publish()
        if not await self._change(self._settings):
            return 1
        self._announce()
        chores = [loop.create_task(self._compactor.run()), loop.create_task(self._tend())]
        await self._follow()
        notify("STOPPING=1")
        await self._stop()
        for chore in chores:
            chore.cancel()
        return 0

    def _announce(self) -> None:
        notify("READY=1")
        if self._ready is not None:
            try:
                self._ready()
            except Exception as error:  # noqa: BLE001 - a ledger without room, a closed terminal: it serves all the same
                log("not announced", error=str(error))

    async def _follow(self) -> None:
        """Carry out the requested changes until the end."""
        ended = asyncio.create_task(self._ended.wait())
        while not self._ended.is_set():
            asked = asyncio.create_task(self._asked.wait())
            await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            if self._asked.is_set() and not self._ended.is_set():
                self._asked.clear()
                wanted = self._wanted()
                if wanted is not None and wanted.spec.revision != self._settings.spec.revision:
                    await self._change(wanted)

    def _wanted(self) -> Settings | None:
        try:
            return read(self._folder / WANTED, Settings)
        except (OSError, msgspec.DecodeError) as error:
            log("unreadable", file=WANTED, error=str(error))
            return None

    async def _tend(self) -> None:
        """Each second: show a sign of life, keep the log short, and write what a full disk has refused."""
        while True:
            await asyncio.sleep(1.0)
            notify("WATCHDOG=1")
            with contextlib.suppress(OSError):
                os.utime(self._folder / LOCK)
            if not self._published:
                self._publish()
            rotate(self._folder / LOG)

    # -- changing what is served -----------------------------------------------------------------------------------------

    async def _change(self, wanted: Settings) -> bool:
        """Start a process for `wanted`. Once it is ready, the old one drains. If it cannot start, nothing changes."""
        self._attempt = Attempt(revision=wanted.spec.revision, state="starting")
        self._publish()
        try:
            started = await Worker.start(self._state(wanted), wanted, self._socket)
        except (StartFailed, OSError) as error:
            self._attempt = Attempt(revision=wanted.spec.revision, state="failed", detail=str(error))
            log("refused", revision=wanted.spec.revision, error=str(error))
            self._publish()
            return False
        if self._withdrawn(wanted):
            self._retire(started)
            self._attempt = Attempt(revision=wanted.spec.revision, state="failed", detail="it was given up meanwhile")
            log("withdrawn", revision=wanted.spec.revision)
            self._publish()
            return False
        old, self._settings, self._serving = self._worker, wanted, wanted.spec
        self._attempt = Attempt(revision=wanted.spec.revision, state="ready")
        self._adopt(started)
        self._forget_others()
        if old is not None:
            self._retire(old)
        return True

    def _withdrawn(self, settings: Settings) -> bool:
        """Return whether the deployer gave a change up, or asks for another by now."""
        wanted = self._wanted()
        return wanted is not None and wanted.spec.revision != settings.spec.revision

    def _state(self, settings: Settings) -> Path:
        """Return the file with a revision's settings."""
        file = self._folder / f"revision-{settings.spec.revision}.json"
        write_changed(file, settings)
        return file

    def _forget_others(self) -> None:
        """Remove the settings of revisions that are no longer served."""
        for other in self._folder.glob("revision-*.json"):
            if other.name != f"revision-{self._settings.spec.revision}.json":
                other.unlink(missing_ok=True)

    def _adopt(self, worker: Worker) -> None:
        if self._guard is not None and self._guard is not asyncio.current_task():
            self._guard.cancel()
        self._worker = worker
        self._guard = asyncio.create_task(self._keep(worker))
        self._publish()

    def _retire(self, worker: Worker) -> None:
        task = asyncio.create_task(worker.end(b"replace\n"))
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)

    # -- keeping it served -----------------------------------------------------------------------------------------------

    async def _keep(self, worker: Worker) -> None:
        """Replace `worker` once it dies, hangs, or is asked to leave."""
        why = await worker.lost()
        log(why, worker=worker.pid)
        if why != "leaving":
            self._worker = None
            self._restarts += 1
            await worker.kill()
            self._publish()
        successor = await self._successor()
        self._adopt(successor)
        if why == "leaving":
            self._retire(worker)

    async def _successor(self) -> Worker:
        """Start a process for the current model: at once the first time, then ever more slowly while it keeps failing."""
        wait = 0.0
        while True:
            try:
                return await Worker.start(self._state(self._settings), self._settings, self._socket)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next try may go well, and nobody else tries
                log("restart failed", error=str(error))
                wait = min(_SLOWEST, wait * 2 or 0.25)
                await asyncio.sleep(wait)

    async def _stop(self) -> None:
        if self._guard is not None:
            self._guard.cancel()
            await asyncio.wait({self._guard})
        if self._worker is not None:
            await self._worker.end(b"stop\n")
        self._socket.close()
        if self._draining:
            await asyncio.wait(self._draining)
        self._worker, self._serving, self._stopped = None, None, True
        self._publish()

    def _publish(self) -> None:
        """Write `status.json`. No request needs it, so if the disk is full, it is tried again later."""
        status = Status(
            url=_url(self._settings, self._socket), supervisor=os.getpid(), serving=self._serving, attempt=self._attempt,
            worker=self._worker.pid if self._worker else 0, restarts=self._restarts, stopped=self._stopped,
        )  # fmt: skip
        try:
            write(self._folder / STATUS, status)
        except OSError as error:
            if self._published:
                log("status not written", error=str(error))
            self._published = False
        else:
            self._published = True


def _listen(folder: Path, settings: Settings) -> socket.socket:
    """Bind the wanted port. For a free port, prefer the endpoint's previous one."""
    file = folder / PORT
    if settings.http.port == 0 and file.exists():
        try:
            return bind(settings, int(file.read_text()))
        except (OSError, ValueError):
            pass  # taken meanwhile: use any other
    listening = bind(settings, settings.http.port)
    with contextlib.suppress(OSError):  # no space: the next start uses another port
        file.write_text(str(listening.getsockname()[1]))
    return listening


def _url(settings: Settings, listening: socket.socket) -> str:
    shown = f"[{settings.http.host}]" if ":" in settings.http.host else settings.http.host
    if listening.fileno() < 0:
        return ""
    return f"http://{shown}:{listening.getsockname()[1]}"


def notify(state: str) -> None:
    """Notify a process manager such as systemd: `READY=1`, `WATCHDOG=1`, `STOPPING=1` (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    place = f"\0{address[1:]}" if address.startswith("@") else address
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto(state.encode(), place)


def main(arguments: list[str]) -> int:
    """Run the supervisor as a detached process."""
    parser = argparse.ArgumentParser(prog="mlopsfw_deployer_http.supervisor")
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args(arguments)
    os.umask(0o077)
    try:
        lock = hold(options.folder)
    except BlockingIOError:
        raise SystemExit(f"{options.folder} already has a supervisor") from None
    if os.fork():
        return 0  # the child keeps the lock
    sign(lock)
    return run(options.folder)


def run(folder: Path, ready: Callable[[], None] | None = None) -> int:
    """Supervise the endpoint, whose lock this process holds, until a signal ends it; return the exit status.

    Args:
        folder: The endpoint's.
        ready: As for `Supervisor`.
    """
    settings = read(folder / WANTED, Settings)
    return 1 if settings is None else asyncio.run(_supervise(folder, settings, ready))


async def _supervise(folder: Path, settings: Settings, ready: Callable[[], None] | None) -> int:
    try:
        supervisor = Supervisor(folder, settings, ready)
    except OSError as error:
        detail = f"cannot listen on {settings.http.host}, port {settings.http.port}: {error.strerror}"
        attempt = Attempt(revision=settings.spec.revision, state="failed", detail=detail)
        write(folder / STATUS, Status(url="", supervisor=os.getpid(), attempt=attempt))
        return 1
    return await supervisor.run()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
