"""One server process from the view of its supervisor: started, ready or failed, stopped, gone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from pathlib import Path
from typing import Literal, Self

import msgspec

from mlopsfw_deployer_http.settings import Settings

_TURN = 0.25  # seconds between two pings

Loss = Literal["died", "hung", "leaving"]
"""Why a process must be replaced. One that leaves got a signal, and serves until another process does."""


class StartFailed(Exception):
    """A server process could not load its model in time."""


class Worker:
    """A running server process. Made by `start`.

    Args:
        process: The process.
        control: Our end of its control socket; it drains when this closes.
        settings: The limits on its silence and on the time to end.
    """

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket, settings: Settings) -> None:
        self._process, self._control = process, control
        self._said = b""  # bytes after its first message
        self._hang = settings.http.hang_seconds
        self._patience = settings.patience

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @classmethod
    async def start(cls, state: Path, settings: Settings, listening: socket.socket) -> Self:
        """Start a process and wait until it answers.

        Raises:
            StartFailed: It reported a failure, died, or took longer than `start_timeout`; or the system could not start a process.
        """
        try:
            worker = await cls._launch(state, settings, listening)
        except OSError as error:
            raise StartFailed(f"no process can be started: {error}") from None
        try:
            await asyncio.wait_for(worker.until_ready(), settings.http.start_timeout)
        except (StartFailed, TimeoutError, msgspec.DecodeError) as error:
            await worker.kill()
            raise StartFailed(
                str(error) or f"the model was not ready within {settings.http.start_timeout:g} s"
            ) from None
        except asyncio.CancelledError:
            await worker.kill()
            raise
        return worker

    @classmethod
    async def _launch(cls, state: Path, settings: Settings, listening: socket.socket) -> Self:
        ours, theirs = socket.socketpair()
        ours.settimeout(0.0)
        command = [sys.executable, "-P", "-m", "mlopsfw_deployer_http.server", "--state", str(state)]
        command += ["--listen", str(listening.fileno()), "--control", str(theirs.fileno())]
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *command, pass_fds=(listening.fileno(), theirs.fileno()), start_new_session=True
            )
        return cls(process, ours, settings)

    async def lost(self) -> Loss:
        """Wait until another process must replace this one; return why."""
        died, silent = asyncio.create_task(self._process.wait()), asyncio.create_task(self._silent())
        try:
            await asyncio.wait({died, silent}, return_when=asyncio.FIRST_COMPLETED)
            return "died" if died.done() else silent.result()
        finally:
            died.cancel()
            silent.cancel()

    async def _silent(self) -> Loss:
        """Ping the process until it reports that it leaves, or is silent for `hang_seconds`.

        Counts our own turns, not the clock: if the whole machine slept, the process did not hang.
        """
        turns = 0
        while turns * _TURN < self._hang:
            with contextlib.suppress(OSError):
                self._control.send(b"ping\n")
            await asyncio.sleep(_TURN)
            with contextlib.suppress(OSError):
                self._said += self._control.recv(4096)
            if b"leaving" in self._said:
                return "leaving"
            turns, self._said = 0 if self._said else turns + 1, b""
        return "hung"

    async def until_ready(self) -> None:
        """Wait for its first message. Raise `StartFailed` if that is a failure."""
        loop, said = asyncio.get_running_loop(), b""
        while b"\n" not in said:
            part = await loop.sock_recv(self._control, 65536)
            if not part:
                raise StartFailed(f"the server process ended with status {await self._process.wait()} while it started")
            said += part
        first, _, self._said = said.partition(b"\n")
        words = msgspec.json.decode(first)
        if "ready" not in words:
            raise StartFailed(str(words.get("failed", "the server process said nothing")))

    async def end(self, word: bytes) -> None:
        """Send `replace` or `stop`, and wait until the process has drained; kill it if it never does."""
        with contextlib.suppress(OSError):
            self._control.send(word)
        try:
            await asyncio.wait_for(self._process.wait(), self._patience)
        except TimeoutError:
            await self.kill()
        self._control.close()

    async def kill(self) -> None:
        """End it at once, even if it is stopped by a signal."""
        self._control.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
