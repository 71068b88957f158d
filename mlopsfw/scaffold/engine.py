"""The engine `sample`: each attempt of a step is a process of its own on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec

from mlopsfw import Provider, hookimpl
from mlopsfw.roles import (
    NEVER_BEGAN,
    Engine,
    EngineAbility,
    Failure,
    Handle,
    Host,
    Resources,
    StepResult,
    StepSpec,
    thread_limits,
)

_LOOK = 0.2  # seconds between two looks of a waiting attempt at whether it was cancelled
_GRACE = 3.0  # seconds between asking a step to stop and killing it
_WORKER = """
import os, signal, sys
from mlopsfw.roles import interrupt
signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for mlopsfw
signal.signal(signal.SIGTERM, interrupt)  # the step can write its last checkpoint
answer = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)  # what the step prints is no answer
from mlopsfw.worker import execute
answer.write(execute(sys.stdin.buffer.read()))
"""


class SampleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[engine]` with `use = "sample"`.

    Args:
        slots: How many steps run side by side.
    """

    slots: int = 2


class SampleHandle:
    """One attempt.

    Args:
        spec: What to run.
        folder: Where the process starts.
        slots: One is held while the process runs.
    """

    def __init__(self, spec: StepSpec, folder: Path, slots: threading.Semaphore) -> None:
        self._spec, self._folder, self._slots = spec, folder, slots
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._lock = threading.Lock()
        self._result: StepResult | None = None
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._slots.acquire(timeout=_LOOK):
            if self._stopped:
                self._result = NEVER_BEGAN
                return
        try:
            with self._lock:
                self._process = None if self._stopped else self._started()
            self._result = NEVER_BEGAN if self._process is None else self._finished(self._process)
        finally:
            self._slots.release()

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=self._folder,
            env={**os.environ, **thread_limits(self._spec.resources)},
            start_new_session=True,
        )

    def _finished(self, process: subprocess.Popen[bytes]) -> StepResult:
        answer, _ = process.communicate(msgspec.json.encode(self._spec))
        if answer:
            return msgspec.json.decode(answer, type=StepResult)
        message = f"the process {process.pid} ended with code {process.returncode}"
        return StepResult(failure=Failure(type="WorkerLost", message=message, lost=True))

    def wait(self, timeout: float | None = None) -> StepResult | None:
        """Return the result, or None when `timeout` seconds pass first."""
        self._thread.join(timeout)
        return self._result

    def cancel(self) -> None:
        """Ask the process to stop, then kill it. Return when it has ended; an attempt that waits does not begin."""
        with self._lock:
            self._stopped = True
        if self._process is not None and self._thread.is_alive():
            self._process.terminate()
            self._thread.join(_GRACE)
            self._process.kill()
        self._thread.join()


class SampleEngine(Engine):
    """Runs attempts in processes.

    Args:
        slots: How many at once.
        folder: Where they start.
    """

    abilities: tuple[EngineAbility, ...] = ("isolate", "kill")

    def __init__(self, slots: int, folder: Path) -> None:
        self._count, self._folder = slots, folder
        self._places = threading.BoundedSemaphore(slots)
        self._handles: list[SampleHandle] = []

    @property
    def slots(self) -> int:
        """How many attempts run at once."""
        return self._count

    def capacity(self, asked: Resources) -> Resources:
        """Return the most that one attempt can get: the cores of this machine."""
        del asked
        cores = os.cpu_count() or 1
        return Resources(cpus=cores, processes=cores)

    def submit(self, spec: StepSpec) -> Handle:
        """Start one attempt as soon as a slot is free."""
        self._handles.append(handle := SampleHandle(spec, self._folder, self._places))
        return handle

    def close(self) -> None:
        """Stop what runs or waits."""
        for handle in self._handles:
            handle.cancel()
        self._handles.clear()


def _build(config: SampleConfig, host: Host) -> Engine:
    return SampleEngine(config.slots, host.root)


@hookimpl
def mlopsfw_engines() -> Iterable[Provider[Engine]]:
    """Offer the engine."""
    yield Provider("sample", SampleConfig, _build, "A process for each step")
