"""The engine: a pool of worker processes, each started when a step finds none idle, and one step at a time for each.

A worker whose environment limits threads or devices is used again only for steps that ask for the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

import msgspec

from mlopsfw.errors import UsageError
from mlopsfw.roles import (
    NEVER_BEGAN,
    Engine,
    EngineAbility,
    Failure,
    Handle,
    Resources,
    StepResult,
    StepSpec,
    thread_limits,
)
from mlopsfw_engine_local.protocol import receive, send
from mlopsfw_engine_local.room import Grant, Room

_MOST = 4


class Worker:
    """One worker process.

    Args:
        folder: Where it starts.
        environment: Variables that it has beside those of this process.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.environment = environment
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlopsfw_engine_local.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
            env={**os.environ, **environment},
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

    def kill(self) -> None:
        """Kill the process. Returns when it is gone."""
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


class Pool:
    """The idle workers, at most as many as there are slots.

    Args:
        folder: Where workers start.
        slots: How many attempts run at once.
    """

    def __init__(self, folder: Path, slots: int) -> None:
        self._folder, self._slots = folder, slots
        self._idle: list[Worker] = []
        self._lock = threading.Lock()

    def take(self, grant: Grant) -> Worker:
        """Return an idle worker with the environment of a grant, or a new one."""
        environment = thread_limits(grant.asked)
        if grant.devices:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(grant.devices)
        with self._lock:
            for worker in reversed(self._idle):
                if worker.environment == environment:
                    self._idle.remove(worker)
                    return worker
        return Worker(self._folder, environment)

    def give_back(self, worker: Worker) -> None:
        """Keep a worker for the next attempt, in place of the one that was idle longest if there are too many."""
        with self._lock:
            self._idle.append(worker)
            surplus = [self._idle.pop(0)] if len(self._idle) > self._slots else []
        _end(surplus)

    def close(self) -> None:
        """End every idle worker."""
        with self._lock:
            idle, self._idle = self._idle, []
        _end(idle)


def _end(idle: Sequence[Worker]) -> None:
    for worker in idle:
        worker.process.kill()  # it waits for a spec and holds nothing
        worker.release()


class LocalHandle:
    """One attempt, watched by a thread of its own.

    Args:
        spec: What to run.
        room: Grants it what it asks for.
        pool: Has the workers.
        grace: Seconds between asking the step to stop and killing it.
    """

    def __init__(self, spec: StepSpec, room: Room, pool: Pool, grace: float) -> None:
        self._spec, self._room, self._pool, self._grace = spec, room, pool, grace
        self._stopped, self._finished = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._result: StepResult | None = None
        grant = room.take_now(spec.resources)
        self._worker = self._begun(grant) if grant is not None else None
        threading.Thread(target=self._watch, args=(grant,), daemon=True).start()

    def _begun(self, grant: Grant) -> Worker:
        """Return a worker for a grant. Raise `OSError` where no process can be started."""
        try:
            return self._pool.take(grant)
        except OSError:
            self._room.give_back(grant)
            raise

    def _watch(self, grant: Grant | None) -> None:
        grant = grant or self._room.take(self._spec.resources, self._stopped)
        try:
            self._result = NEVER_BEGAN if grant is None else self._run(grant)
        except Exception as error:  # noqa: BLE001 - an attempt that has ended has a result, whatever went wrong
            self._result = StepResult(failure=Failure(type=type(error).__name__, message=str(error)))
        finally:
            if grant is not None:
                self._room.give_back(grant)
            self._finished.set()

    def _run(self, grant: Grant) -> StepResult:
        with self._lock:
            if self._worker is None and self._stopped.is_set():
                return NEVER_BEGAN
            worker = self._worker = self._worker or self._pool.take(grant)
        answer = worker.ask(msgspec.json.encode(self._spec))
        with self._lock:
            reused = answer is not None and not self._stopped.is_set()
            self._worker = None
        try:
            return _lost(worker) if answer is None else msgspec.json.decode(answer, type=StepResult)
        finally:
            if reused:
                self._pool.give_back(worker)
            else:
                worker.kill()
                worker.release()

    def wait(self, timeout: float | None = None) -> StepResult | None:
        """Return the result, or None when `timeout` seconds pass first."""
        return self._result if self._finished.wait(timeout) else None

    def cancel(self) -> None:
        """Ask the step to stop, then kill its worker; returns when it can write no more."""
        with self._lock:
            self._stopped.set()
            worker = self._worker
        self._room.look_again()
        if worker is not None and not self._finished.is_set():
            worker.process.terminate()
            if not self._finished.wait(self._grace):
                worker.kill()
        self._finished.wait()


def _lost(worker: Worker) -> StepResult:
    code = worker.process.wait()
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    hint = " (out of memory?)" if code == -9 else ""  # noqa: PLR2004 - SIGKILL is what the kernel sends then
    message = f"the worker process {worker.process.pid} {how}{hint}"
    return StepResult(
        failure=Failure(type="WorkerLost", message=message, lost=True),
        node=f"{os.uname().nodename}/{worker.process.pid}",
    )


class LocalEngine(Engine):
    """Steps in processes of this machine.

    Args:
        workers: How many at once; 0 for as many as there are cores, at most 4.
        grace: Seconds between asking a step to stop and killing it.
        folder: Where workers start.
    """

    abilities: tuple[EngineAbility, ...] = ("isolate", "kill")

    def __init__(self, *, workers: int, grace: float, folder: Path) -> None:
        self._room = Room(workers or min(os.cpu_count() or 1, _MOST))
        self._pool = Pool(folder, self._room.slots)
        self._grace = grace
        self._handles: list[LocalHandle] = []
        self._lock = threading.Lock()

    @property
    def slots(self) -> int:
        """How many attempts can run at once."""
        return self._room.slots

    def capacity(self, asked: Resources) -> Resources:
        """Return the most that one attempt can get of this machine."""
        return self._room.capacity(asked)

    def fits(self, asked: Resources, running: Sequence[Resources]) -> bool:
        """Return whether an attempt has room beside those that run."""
        return self._room.fits(asked, running)

    def submit(self, spec: StepSpec) -> Handle:
        """Start one attempt as soon as it fits. Raise `UsageError` if it never will."""
        if not self._room.fits(spec.resources, ()):
            raise UsageError(f"step {spec.step!r} asks for more than this machine has", hint="Ask for less.")
        handle = LocalHandle(spec, self._room, self._pool, self._grace)
        with self._lock:
            self._handles = [each for each in self._handles if each.wait(0) is None] + [handle]
        return handle

    def close(self) -> None:
        """Cancel what runs or waits, and end every worker."""
        with self._lock:
            handles, self._handles = self._handles, []
        for handle in handles:
            handle.cancel()
        self._pool.close()
