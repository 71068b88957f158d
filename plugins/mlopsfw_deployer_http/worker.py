"""One server process as its supervisor sees it: started, ready or refused, told to end, gone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from pathlib import Path
from typing import Literal, Self

import msgspec

from mlopsfw_deployer_http.settings import Settings

_TURN = 0.25  # seconds between two questions whether it lives

Loss = Literal["died", "hung", "leaving"]
"""Why a process must be replaced; one that leaves was asked to by a signal, and serves until another does."""


class StartFailed(Exception):
    """A server process could not load its model in time."""


class Worker:
    """A running server process. Made by `start`.

    Args:
        process: The process.
        control: Our end of its control socket; it drains when this closes.
        settings: How long it may be silent, and how long it may take to end.
    """

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket, settings: Settings) -> None:
        self._process, self._control = process, control
        self._said = b""  # what came behind its first word
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
            StartFailed: It said why it cannot, died, or took longer than `start_timeout`; or there is no room for a process.
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
        """Wait until another process must take its place; return why."""
        died, silent = asyncio.create_task(self._process.wait()), asyncio.create_task(self._silent())
        try:
            await asyncio.wait({died, silent}, return_when=asyncio.FIRST_COMPLETED)
            return "died" if died.done() else silent.result()
        finally:
            died.cancel()
            silent.cancel()

    async def _silent(self) -> Loss:
        """Ask for signs of life until it says that it was asked to leave, or says nothing for `hang_seconds`.

        Counted in our own turns, not by the clock: where the whole machine slept, it was not the process that hung.
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
        """Wait for its first word. Raise `StartFailed` where that is why it cannot serve."""
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
        """Tell it `replace` or `stop`, and wait until it has drained; kill it if it never does."""
        with contextlib.suppress(OSError):
            self._control.send(word)
        try:
            await asyncio.wait_for(self._process.wait(), self._patience)
        except TimeoutError:
            await self.kill()
        self._control.close()

    async def kill(self) -> None:
        """End it at once; a process that is stopped ends too."""
        self._control.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
