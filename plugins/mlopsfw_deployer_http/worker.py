"""One server process as its supervisor sees it: started, ready or refused, told to end, gone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from pathlib import Path
from typing import Self

import msgspec

from mlopsfw_deployer_http.settings import Settings


class StartFailed(Exception):
    """A server process could not load its model in time."""


class Worker:
    """A running server process. Made by `start`.

    Args:
        process: The process.
        control: Our end of its control socket; it drains when this closes.
        patience: Seconds after which a process that was told to end is killed.
    """

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket, patience: float) -> None:
        self._process, self._control, self._patience = process, control, patience
        self._words: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @classmethod
    async def start(cls, state: Path, settings: Settings, listening: socket.socket) -> Self:
        """Start a process and wait until it answers.

        Raises:
            StartFailed: It said why it cannot, died, or took longer than `start_timeout`.
        """
        ours, theirs = socket.socketpair()
        ours.settimeout(0.0)
        command = [sys.executable, "-P", "-m", "mlopsfw_deployer_http.server", "--state", str(state)]
        command += ["--listen", str(listening.fileno()), "--control", str(theirs.fileno())]
        process = await asyncio.create_subprocess_exec(
            *command, pass_fds=(listening.fileno(), theirs.fileno()), start_new_session=True
        )
        theirs.close()
        worker = cls(process, ours, settings.drain_seconds + settings.grace_seconds + 5.0)
        try:
            await asyncio.wait_for(worker._await_ready(), settings.start_timeout)
        except (StartFailed, TimeoutError) as error:
            await worker._kill()
            raise StartFailed(str(error) or f"the model was not ready within {settings.start_timeout:g} s") from None
        worker._words = asyncio.create_task(worker._next_word())
        return worker

    async def _next_word(self) -> None:
        """Wait until it says something more, which can only be that it was told to leave; for ever if it just dies."""
        if not await asyncio.get_running_loop().sock_recv(self._control, 4096):
            await asyncio.Event().wait()

    def leaving(self) -> asyncio.Task[None]:
        """Return a task that is done once the process was asked by a signal to end, and waits for another to take over."""
        assert self._words is not None  # noqa: S101 - set when it is started
        return self._words

    async def _await_ready(self) -> None:
        loop, said = asyncio.get_running_loop(), b""
        while not said.endswith(b"\n"):
            part = await loop.sock_recv(self._control, 65536)
            if not part:
                raise StartFailed(f"the server process ended with status {await self._process.wait()} while it started")
            said += part
        words = msgspec.json.decode(said)
        if "ready" not in words:
            raise StartFailed(str(words.get("failed", "the server process said nothing")))

    async def exited(self) -> int:
        """Wait until the process is gone; return its status."""
        return await self._process.wait()

    async def end(self, word: bytes) -> None:
        """Tell it `replace` or `stop`, and wait until it has drained; kill it if it never does."""
        with contextlib.suppress(OSError):
            self._control.send(word)
        try:
            await asyncio.wait_for(self._process.wait(), self._patience)
        except TimeoutError:
            await self._kill()
        self._let_go()

    def _let_go(self) -> None:
        if self._words is not None:
            self._words.cancel()
        self._control.close()

    async def _kill(self) -> None:
        self._let_go()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
