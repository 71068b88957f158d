"""The engine: a pool of worker processes, each started when a step finds none idle, and one step at a time for each."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

import msgspec

from mlopsfw.roles import Failure, Handle, StepResult, StepSpec
from mlopsfw_engine_local.protocol import receive, send

_MOST = 4


class Worker:
    """One worker process."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlopsfw_engine_local.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
            start_new_session=True,  # Ctrl-C on the terminal reaches the coordinator alone
        )
        self.requests = cast("IO[bytes]", self.process.stdin)
        self.answers = cast("IO[bytes]", self.process.stdout)

    def ask(self, frame: bytes) -> bytes | None:
        """Send a frame and wait for the answer; None if the process vanished."""
        try:
            send(self.requests, frame)
        except OSError:
            return None
        return receive(self.answers)

    def stop(self, grace: float) -> None:
        """End the process: ask, wait `grace` seconds, kill. Returns when it is gone."""
        if self.process.poll() is None and grace > 0:
            self.process.terminate()
            try:
                self.process.wait(grace)
            except subprocess.TimeoutExpired:
                self.process.kill()
        elif self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def release(self) -> None:
        """Close the pipes of a process that has ended, or that ends by it."""
        for pipe in (self.requests, self.answers):
            try:
                pipe.close()
            except OSError:
                continue  # a frame for a process that is gone was still in the buffer
        self.process.wait()


class LocalHandle:
    """One attempt, watched by a thread of its own."""

    def __init__(self, worker: Worker, spec: StepSpec, grace: float, on_end: Callable[[Worker, bool], None]) -> None:
        self._worker, self._grace, self._done = worker, grace, on_end
        self._finished = threading.Event()
        self._result: StepResult | None = None
        self._lock = threading.Lock()
        threading.Thread(target=self._watch, args=(msgspec.json.encode(spec),), daemon=True).start()

    def _watch(self, frame: bytes) -> None:
        answer = self._worker.ask(frame)
        with self._lock:
            self._result = self._read(answer)
            self._finished.set()
        self._done(self._worker, answer is not None)

    def _read(self, answer: bytes | None) -> StepResult:
        if answer is not None:
            return msgspec.json.decode(answer, type=StepResult)
        code = self._worker.process.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        hint = " (out of memory?)" if code == -9 else ""  # noqa: PLR2004 - SIGKILL is what the kernel sends then
        message = f"the worker process {self._worker.process.pid} {how}{hint}"
        return StepResult(
            failure=Failure(type="WorkerLost", message=message, lost=True),
            node=f"{os.uname().nodename}/{self._worker.process.pid}",
        )

    def wait(self, timeout: float | None = None) -> StepResult | None:
        """Return the result, or None when `timeout` seconds pass first."""
        return self._result if self._finished.wait(timeout) else None

    def cancel(self) -> None:
        """Ask the step to stop, then kill its worker; returns when it can write no more."""
        if not self._finished.is_set():
            self._worker.process.terminate()
            if not self._finished.wait(self._grace):
                self._worker.stop(0)
                self._finished.wait()


class LocalEngine:
    """Steps in processes of this machine.

    Args:
        workers: How many at once; 0 for as many as there are cores, at most 4.
        grace: Seconds between asking a step to stop and killing it.
        folder: Where workers start.
    """

    def __init__(self, *, workers: int, grace: float, folder: Path) -> None:
        self._slots = workers or min(os.cpu_count() or 1, _MOST)
        self._grace, self._folder = grace, folder
        self._idle: list[Worker] = []
        self._busy: dict[Worker, LocalHandle | None] = {}
        self._lock = threading.Lock()

    @property
    def slots(self) -> int:
        """How many attempts can run at once."""
        return self._slots

    def submit(self, spec: StepSpec) -> Handle:
        """Start one attempt on an idle worker, or on a new one."""
        with self._lock:
            worker = self._idle.pop() if self._idle else Worker(self._folder)
            self._busy[worker] = None
        handle = LocalHandle(worker, spec, self._grace, self._returned)
        with self._lock:
            if worker in self._busy:
                self._busy[worker] = handle
        return handle

    def _returned(self, worker: Worker, alive: bool) -> None:  # noqa: FBT001 - told by the handle's own thread
        with self._lock:
            self._busy.pop(worker, None)
            if alive:
                self._idle.append(worker)
                return
        worker.release()

    def close(self) -> None:
        """Cancel what runs and end every worker."""
        with self._lock:
            running = [handle for handle in self._busy.values() if handle]
        for handle in running:
            handle.cancel()
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.process.kill()  # it waits for a spec and holds nothing
            worker.release()
