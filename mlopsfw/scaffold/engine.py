"""The engine `sample`: each attempt of a step is a process of its own on this machine."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec

from mlopsfw import Provider, hookimpl
from mlopsfw.roles import Engine, Failure, Handle, Host, StepResult, StepSpec

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
    """

    def __init__(self, spec: StepSpec, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
            start_new_session=True,
        )
        self._result: StepResult | None = None
        self._thread = threading.Thread(target=self._watch, args=(msgspec.json.encode(spec),), daemon=True)
        self._thread.start()

    def _watch(self, spec: bytes) -> None:
        answer, _ = self._process.communicate(spec)
        if answer:
            self._result = msgspec.json.decode(answer, type=StepResult)
            return
        message = f"the process {self._process.pid} ended with code {self._process.returncode}"
        self._result = StepResult(failure=Failure(type="WorkerLost", message=message, lost=True))

    def wait(self, timeout: float | None = None) -> StepResult | None:
        """Return the result, or None when `timeout` seconds pass first."""
        self._thread.join(timeout)
        return self._result

    def cancel(self) -> None:
        """Ask the process to stop, then kill it. Return when it has ended."""
        if self._thread.is_alive():
            self._process.terminate()
            self._thread.join(_GRACE)
            self._process.kill()
            self._thread.join()


class SampleEngine:
    """Runs attempts in processes.

    Args:
        slots: How many at once.
        folder: Where they start.
    """

    def __init__(self, slots: int, folder: Path) -> None:
        self._folder, self._handles = folder, list[SampleHandle]()
        self.slots = slots

    def submit(self, spec: StepSpec) -> Handle:
        """Start one attempt."""
        self._handles.append(handle := SampleHandle(spec, self._folder))
        return handle

    def close(self) -> None:
        """Stop what still runs."""
        for handle in self._handles:
            handle.cancel()
        self._handles.clear()


def _build(config: SampleConfig, host: Host) -> Engine:
    return SampleEngine(config.slots, host.root)


@hookimpl
def mlopsfw_engines() -> Iterable[Provider[Engine]]:
    """Offer the engine."""
    yield Provider("sample", SampleConfig, _build, "A process for each step")
