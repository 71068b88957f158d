"""System metrics of a run: processor, memory and GPU, sampled by one thread of this process for all runs that are open in it.

A run that is shorter than the interval has none, and pays nothing.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.base.errors import UsageError

if TYPE_CHECKING:
    from mlopsfw.pipeline.run.number_log import NumberLog

PREFIX = "system/"
_VARIABLE, _DEFAULT = "MLOPSFW_SYSTEM_METRICS", 10.0
_TICK, _IDLE = 1.0, 10  # seconds that the thread sleeps at most, and how often it wakes without a run before it ends
_MIB = 1 << 20
_PROC = Path("/proc")


def interval(seconds: float | None = None) -> float:
    """Return the seconds between two samples: those given, else those of `MLOPSFW_SYSTEM_METRICS`, else 10; 0 for no samples.

    Raises:
        UsageError: It is no number, negative or not finite.
    """
    text = os.environ.get(_VARIABLE, "") if seconds is None else str(seconds)
    with suppress(ValueError):
        number = float(text or _DEFAULT)
        if 0 <= number < math.inf:
            return number
    where = _VARIABLE if seconds is None else "system_seconds"
    raise UsageError(f"{where} is {text!r}, no number of seconds", hint="Write 10, or 0 for no system metrics.")


class _Sampled:
    """A log that gets samples."""

    def __init__(self, log: NumberLog, seconds: float) -> None:
        self._log, self._seconds, self._began = log, seconds, time.monotonic()
        self.due = self._began + seconds / 10  # then the counters are read that the first sample is compared with
        self._usage: Usage | None = None

    def sample(self, now: float) -> None:
        """Log what is used, and say when to be called again."""
        if self._usage is None:
            self._usage, self.due = Usage(), self._began + self._seconds
            return
        for name, value in self._usage.read(now).items():
            self._log.log(PREFIX + name, value, round(now - self._began, 2))
        self.due = now + self._seconds


class _Sampler:
    """The thread that samples for all runs: a thread for each of many short runs would cost more than they do.

    It ends when no run has been open for a while.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._runs: list[_Sampled] = []
        self._thread: threading.Thread | None = None

    def add(self, run: _Sampled) -> None:
        """Sample for a run."""
        with self._changed:
            self._runs.append(run)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="mlopsfw-system-metrics", daemon=True)
                self._thread.start()
            elif run.due < time.monotonic() + _TICK:
                self._changed.notify()

    def remove(self, run: _Sampled) -> None:
        """Stop sampling for a run; none is under way when this returns."""
        with self._changed:
            if run in self._runs:  # a forked process has none of its parent's
                self._runs.remove(run)

    def _work(self) -> None:
        with self._changed:
            idle = 0
            while idle < _IDLE:
                now = time.monotonic()
                for run in [each for each in self._runs if each.due <= now]:
                    run.due = math.inf  # one that fails gets no more
                    with suppress(Exception):
                        run.sample(now)
                idle = 0 if self._runs else idle + 1
                self._changed.wait(max(0.0, min([_TICK, *(each.due - now for each in self._runs)])))
            self._thread = None


_sampler = _Sampler()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_sampler.__init__)  # type: ignore[misc]


@contextmanager
def sampling(log: NumberLog, seconds: float | None = None) -> Iterator[None]:
    """Log system metrics every `seconds` inside the block; see `interval`."""
    if not (every := interval(seconds)):
        yield
        return
    run = _Sampled(log, every)
    _sampler.add(run)
    try:
        yield
    finally:
        _sampler.remove(run)


class Usage:
    """What the machine and this process with its children use. What a system does not tell is left out."""

    def __init__(self) -> None:
        self._before = (time.monotonic(), *self._times())

    def read(self, now: float) -> dict[str, float]:
        """Return what is used.

        Returns:
            `cpu`, `memory`: of the machine, in percent.
            `process_cpu`: since the last call, in percent of one core.
            `process_memory_mib`: resident, pages that processes share counted in each.
            `gpu0`, `gpu0_memory_mib` and so on: of the GPUs that torch uses here, in percent and MiB.
        """
        then, busy, total, own = self._before
        self._before = (now, *self._times())
        _, busy_now, total_now, own_now = self._before
        read = {"process_cpu": 100 * max(0.0, own_now - own) / max(now - then, 1e-9), **_memory(), **_gpus()}
        if total_now > total:
            read["cpu"] = 100 * (busy_now - busy) / (total_now - total)
        return read

    @staticmethod
    def _times() -> tuple[float, float, float]:
        """Return the machine's busy and total time in ticks, and the seconds of this process and its children."""
        ended = os.times()
        own = ended.user + ended.system + ended.children_user + ended.children_system
        ticks = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
        own += sum(sum(map(int, fields[11:13])) / ticks for fields in map(_stat, _children(os.getpid())) if fields)
        with suppress(OSError, ValueError):
            times = [int(each) for each in (_PROC / "stat").read_text().partition("\n")[0].split()[1:9]]
            return sum(times) - times[3] - times[4], sum(times), own
        return 0.0, 0.0, own


def _children(process: int) -> list[int]:
    """Return the ids of the living children of a process, and of theirs."""
    ids: list[int] = []
    with suppress(OSError):
        for thread in (_PROC / str(process) / "task").iterdir():
            for child in map(int, (thread / "children").read_text().split()):
                ids += [child, *_children(child)]
    return ids


def _stat(process: int) -> list[str]:
    """Return the fields of a process after its name, which may hold blanks."""
    try:
        return (_PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _memory() -> dict[str, float]:
    pages = [int(fields[21]) for fields in map(_stat, (os.getpid(), *_children(os.getpid()))) if fields]
    memory = {"process_memory_mib": sum(pages) * os.sysconf("SC_PAGE_SIZE") / _MIB} if pages else {}
    with suppress(OSError, ValueError, KeyError):
        lines = (_PROC / "meminfo").read_text().splitlines()
        sizes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        memory["memory"] = 100 * (1 - sizes["MemAvailable"] / sizes["MemTotal"])
    return memory


def _gpus() -> Mapping[str, float]:
    """Return what torch's devices use, if this process uses them already: nothing is begun on a device here."""
    torch: Any = sys.modules.get("torch")
    used: dict[str, float] = {}
    with suppress(Exception):  # torch is being imported, or a driver does not answer
        for device in range(torch.cuda.device_count() if torch.cuda.is_initialized() else 0):
            used[f"gpu{device}_memory_mib"] = torch.cuda.memory_reserved(device) / _MIB
            with suppress(Exception):  # needs NVIDIA's management library
                used[f"gpu{device}"] = float(torch.cuda.utilization(device))
    return used
