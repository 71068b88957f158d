"""Metrics: numbers over time, appended to a local log and made durable as segments of their run.

`log_metric` costs microseconds: it appends a line of JSON to a buffer, which is written at least twice a second. At the end the log becomes one
blob that a `MetricsRecorded` event of the run names. If a process is killed, the next attempt finds its log, up to the last complete line.

"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.pipeline.run.events import MetricsRecorded

if TYPE_CHECKING:
    from mlopsfw.kernel.services import Services

_FLUSH_BYTES = 1 << 16
_FLUSH_SECONDS = 0.5

_current: ContextVar[MetricLog | None] = ContextVar("mlopsfw_metrics", default=None)


class Metric(msgspec.Struct, frozen=True, array_like=True):
    """One logged number.

    Args:
        name: The name.
        value: The number; not-a-number and the infinities as text, since JSON has none.
        step: The training step or epoch it belongs to, if any.
        time: Seconds since the epoch, UTC.
        source: The step of the pipeline that logged it.
    """

    name: str
    value: float | str
    step: int | None
    time: float
    source: str = ""

    @property
    def number(self) -> float:
        """The value as a float."""
        return float(self.value)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Metric)


class MetricLog:
    """An append-log of metrics.

    Args:
        file: Where it lies; its folder exists. What an earlier process left in it is kept.
        source: The step that logs.
    """

    def __init__(self, file: Path, source: str = "") -> None:
        self.file, self.source = file, source
        self.last: dict[str, float] = {}
        self._buffer = bytearray()
        self._flushed = time.monotonic()
        self._descriptor = -1

    def log(self, name: str, value: float, step: int | None = None) -> None:
        """Append one number. Raise `UsageError` where `name` is no text that UTF-8 can hold."""
        number = value if type(value) is float else float(value)
        metric = Metric(name, number if math.isfinite(number) else str(number), step, time.time(), self.source)
        try:
            line = _encoder.encode(metric)
        except UnicodeEncodeError:
            raise UsageError(
                f"log_metric: the name {name!a} is not Unicode text, since it has a lone surrogate",
                hint="Give the metric a name that UTF-8 can hold.",
            ) from None
        self.last[name] = number
        self._buffer += line
        self._buffer += b"\n"
        if len(self._buffer) >= _FLUSH_BYTES or time.monotonic() - self._flushed >= _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the buffer out."""
        if self._descriptor < 0 and self._buffer:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self._descriptor = os.open(self.file, flags, 0o600)
        while self._buffer:
            del self._buffer[: os.write(self._descriptor, self._buffer)]
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Flush and close the file."""
        self.flush()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def commit(services: Services, run: str, log: MetricLog, *, epoch: int | None = None) -> None:
    """Make a log durable as one segment of its run, then remove the local file. Does nothing for an empty log."""
    log.close()
    lines = whole_lines(log.file)
    if lines:
        blob = services.blobs.put(b"".join(lines))
        record = MetricsRecorded(blob=blob, count=len(lines), step=log.source, last=log.last)
        services.ledger.stream(f"run/{run}").append(record, epoch=epoch)
    log.file.unlink(missing_ok=True)


def whole_lines(file: Path) -> list[bytes]:
    """Return the log's records up to the last complete line."""
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return []
    return [line + b"\n" for line in data.split(b"\n")[:-1] if _is_record(line)]


def _is_record(line: bytes) -> bool:
    with contextlib.suppress(msgspec.DecodeError):
        _decoder.decode(line)
        return True
    return False


def read_segment(data: bytes) -> Iterator[Metric]:
    """Yield the metrics of a segment."""
    yield from map(_decoder.decode, data.splitlines())


# -- what user code calls ------------------------------------------------------------------------------------------------------


def log_metric(name: str, value: float, step: int | None = None) -> None:
    """Record a metric of the running step, or of the run that `start_run` opened.

    Args:
        name: Its name, such as `loss`.
        value: A number; not-a-number is kept as such.
        step: The epoch or training step it belongs to.

    Raises:
        UsageError: No step or run is there to take it, or its name is no Unicode text.
    """
    log = _current.get()
    if log is None:
        raise UsageError("log_metric was called outside of any run", hint='Wrap it: with mlopsfw.start_run("name"): …')
    log.log(name, value, step)


@contextlib.contextmanager
def logging_to(log: MetricLog) -> Iterator[MetricLog]:
    """Send `log_metric` to `log` inside the block."""
    token = _current.set(log)
    try:
        yield log
    finally:
        _current.reset(token)
