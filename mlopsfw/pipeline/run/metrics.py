"""Metrics: numbers over time, appended to a local log and made durable as segments of their run.

`log_metric` costs microseconds: it appends a line of JSON to a file, without waiting for the disk. At the end of the attempt the log becomes one blob that a
`MetricsRecorded` event of the run names. If a process is killed, everything that it logged is in its file: `runs metrics` reads it there, and the next attempt goes on with it.

Threads log into the run that is open in their process. So does a process that was forked.
"""

from __future__ import annotations

import contextlib
import io
import math
import operator
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsFloat

import msgspec

from mlopsfw.capturelog.disk import as_storage_error, storage_error
from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.pipeline.run.autolog.switch import watching
from mlopsfw.pipeline.run.current import Current
from mlopsfw.pipeline.run.events import MetricsRecorded, as_values
from mlopsfw.pipeline.run.system import PREFIX, sampling

if TYPE_CHECKING:
    from mlopsfw.kernel.services import Services


_LONGEST_NAME = 250
_FILE = "metrics.jsonl"
_KEPT = "What was logged before is kept. Free some space there, or make it writable, and log it again."
_TAIL = 4096  # bytes of a log in which the newest metrics lie

_current: Current[MetricLog] = Current("metrics")


def step_runs_here() -> bool:
    """Return whether an attempt of a step runs in this context."""
    return _current.get() is not None


class Metric(msgspec.Struct, frozen=True, array_like=True):
    """One logged number.

    Args:
        name: The name.
        value: The number; not-a-number and the infinities as text, since JSON has none.
        step: The training step or epoch it belongs to, if any; a fraction within an epoch.
        time: Seconds since the epoch, UTC.
        source: The step of the pipeline that logged it.
    """

    name: str
    value: float | str
    step: int | float | None
    time: float
    source: str = ""

    @property
    def number(self) -> float:
        """The value as a float."""
        return float(self.value)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Metric)


class MetricLog:
    """An append-log of metrics. Threads, and processes forked from this one, may log into it.

    Args:
        file: Where it lies; its folder is made if the one above exists. What an earlier process left in it is kept.
        source: The step that logs.
    """

    def __init__(self, file: Path, source: str = "") -> None:
        self.file, self.source = file, source
        self._descriptor, self._torn, self._lock = -1, False, threading.Lock()
        _logs.add(self)

    def log(self, name: str, value: SupportsFloat, step: float | None = None) -> None:
        """Append one number.

        Raises:
            UsageError: Name, value or step cannot be kept; nothing is appended then.
            StorageFull: The disk has no room for it. What was logged before is kept.
        """
        self._append(self._encoded(name, value, step))

    def log_all(self, metrics: Mapping[str, SupportsFloat], step: float | None = None) -> None:
        """Append several numbers of one step, or none of them. Raises as `log`."""
        if not isinstance(metrics, Mapping):
            raise UsageError(
                f"log_metrics: metrics are names with numbers, not {metrics!r}",
                hint='Write log_metrics({"loss": 0.1}).',
            )
        self._append(b"".join([self._encoded(name, value, step) for name, value in metrics.items()]))

    def _encoded(self, name: str, value: SupportsFloat, step: float | None) -> bytes:
        number = value if type(value) is float else _number(value, name)
        kept = number if math.isfinite(number) else str(number)
        return _line(Metric(_name(name), kept, step if step is None else _step(step, name), time.time(), self.source))

    def _append(self, line: bytes) -> None:
        try:
            with self._lock:
                if self._descriptor < 0:
                    self._open()
                self._write(b"\n" + line if self._torn else line)
        except OSError as error:
            raise storage_error(f"the log {self.file}", error, _KEPT) from error

    def begin_fork(self) -> None:
        """Drop the lock, which may be held by a thread that does not exist here."""
        self._lock = threading.Lock()

    def _open(self) -> None:
        self.file.parent.mkdir(mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(self.file, flags, 0o600)

    def _write(self, line: bytes) -> None:
        self._torn = True  # until all of it is written: a full disk leaves a part, which ends at the next line break
        while line:
            line = line[os.write(self._descriptor, line) :]
        self._torn = False

    def close(self) -> None:
        """Close the file; the next number opens it anew."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1


_logs: weakref.WeakSet[MetricLog] = weakref.WeakSet()


def _begin_fork() -> None:
    for log in list(_logs):
        log.begin_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_fork)


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise UsageError(f"log_metric: a name is text, not {name!r}", hint='Write log_metric("loss", value).')
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise UsageError(
            f"log_metric: the name {name[:40]!a} is empty, longer than {_LONGEST_NAME} characters, or has characters that cannot be printed",
            hint="Give the metric a name that UTF-8 can hold and a terminal can show, such as `loss`.",
        )
    return name


def _number(value: object, name: object) -> float:
    """Return a number as a float; tensors and NumPy scalars are numbers, texts are not."""
    if not isinstance(value, str | bytes | bytearray):
        with contextlib.suppress(TypeError, ValueError, OverflowError, RuntimeError):
            return float(value.item() if hasattr(value, "item") else value)  # type: ignore[arg-type]
    raise UsageError(
        f"log_metric: the value of {name!r} is no number: {value!r:.80}",
        hint="Pass one real number, such as float(loss).",
    )


def _step(step: object, name: str) -> int | float:
    number: int | float = math.nan
    if hasattr(step, "__index__") and not isinstance(step, bool):  # such as a NumPy integer
        number = operator.index(step)
    elif not isinstance(step, bool):
        number = _number(step, name)
        number = int(number) if number.is_integer() else number
    if math.isfinite(number) and abs(number) < 1 << 63:
        return number
    raise UsageError(
        f"log_metric: the step of {name!r} is no number that can be kept: {step!r:.80}",
        hint="Pass the epoch or the training step; a fraction within an epoch is a step too.",
    )


def _line(metric: Metric) -> bytes:
    return _encoder.encode(metric) + b"\n"


def commit(services: Services, run: str, log: MetricLog, *, epoch: int | None = None) -> dict[str, Any]:
    """Make a log durable as one segment of its run, then remove the local file; return the last value of each metric, as JSON values.

    Does nothing for an empty log. System metrics have no last value: what was used at the end says nothing about a run.
    """
    with as_storage_error(f"the log {log.file}"):
        log.close()
        count, numbers, data = _tallied(log.file)
    last = as_values(numbers)
    if count:
        record = MetricsRecorded(blob=services.blobs.put(data), count=count, step=log.source, last=last)
        services.ledger.stream(f"run/{run}").append(record, epoch=epoch)
    log.file.unlink(missing_ok=True)
    return last


def _tallied(file: Path) -> tuple[int, dict[str, float], bytes]:
    """Return how many records a log has, the last value of each metric, and its complete lines. One record at a time is in memory."""
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return 0, {}, b""
    count, last = 0, dict[str, float]()
    damaged = not data.endswith(b"\n")
    for line in io.BytesIO(data):
        try:
            metric = _decoder.decode(line)
        except msgspec.DecodeError:
            damaged = True
            continue
        if line.endswith(b"\n"):
            count += 1
            if not metric.name.startswith(PREFIX):
                last[metric.name] = metric.number
    return count, last, b"".join(map(_line, read_complete_lines(file))) if damaged else data


def read_complete_lines(file: Path) -> list[Metric]:
    """Return the log's records up to the last complete line."""
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return []
    return list(_records(data.split(b"\n")[:-1]))


def read_open_logs(folder: Path) -> list[Metric]:
    """Return what the attempts of a run that have not ended logged so far. `folder` is the run's on this machine."""
    return [line for file in (folder / _FILE, *sorted(folder.glob(f"*/{_FILE}"))) for line in read_complete_lines(file)]


def newest_of_log(folder: Path) -> list[Metric]:
    """Return the newest value of each metric that an open attempt logged last; empty where it logged none yet."""
    try:
        with (folder / _FILE).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            newest = list(_records(file.read().split(b"\n")[:-1]))
    except OSError:
        return []
    return list({metric.name: metric for metric in newest}.values())


def _records(lines: Iterable[bytes]) -> Iterator[Metric]:
    for line in lines:
        with contextlib.suppress(msgspec.DecodeError):
            yield _decoder.decode(line)


def read_segment(data: bytes) -> list[Metric]:
    """Return the metrics of a segment."""
    return _decoder.decode_lines(data)


# -- what user code calls ------------------------------------------------------------------------------------------------------


def log_metric(name: str, value: SupportsFloat, step: float | None = None) -> None:
    """Record a metric of the running step, or of the run that `start_run` opened. Threads and forked processes of it may call it.

    Args:
        name: Its name, such as `loss`.
        value: A number; not-a-number and the infinities are kept as such.
        step: The epoch or training step it belongs to; a fraction within an epoch.

    Raises:
        UsageError: No step or run is open, or a name, value or step cannot be kept.
        StorageFull: The disk has no room for it. What was logged before is kept.
    """
    _open_log("log_metric").log(name, value, step)


def log_metrics(metrics: Mapping[str, SupportsFloat], step: float | None = None) -> None:
    """Record several metrics of one step, as `log_metric` does."""
    _open_log("log_metrics").log_all(metrics, step)


def _open_log(function: str) -> MetricLog:
    log = _current.get()
    if log is None:
        raise UsageError(
            f"{function} was called outside of any run",
            hint='Wrap it: with mlopsfw.start_run("name"): … Within a step or a run, a process that is spawned knows no run: fork it, or log in its parent.',
        )
    return log


@contextlib.contextmanager
def logging_to(
    log: MetricLog,
    params: Callable[[Mapping[str, Any]], None] | None = None,
    *,
    system_seconds: float | None = None,
) -> Iterator[MetricLog]:
    """Send `log_metric`, what `autolog` sees, and system metrics to `log` inside the block.

    Args:
        log: Where to.
        params: Takes the parameters that `autolog` sees.
        system_seconds: Seconds between two samples of the system; see `mlopsfw.pipeline.run.system.interval`.
    """
    with _current.open(log), watching(log, params), sampling(log, system_seconds):
        yield log
