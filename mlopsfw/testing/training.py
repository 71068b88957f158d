"""What a trainer is given in tests: a context in a folder, and rows whose readings are noted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from mlopsfw.data.tables.digest import table_digest
from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.kernel.roles.engine import Launcher

if TYPE_CHECKING:
    import pyarrow as pa


class Stopped(BaseException):
    """The training was stopped from outside."""


@dataclass
class Context:
    """A training context in a folder. Raises `Stopped` at the `stop_at`-th metric, as a Ctrl-C would."""

    scratch: Path
    checkpoints: Path
    stop_at: int = 0
    launcher: Launcher | None = None
    metrics: list[tuple[str, float, float | None]] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)

    @classmethod
    def under(cls, folder: Path, name: str, checkpoints: str = "", stop_at: int = 0) -> Context:
        """Make one with folders under `folder`."""
        scratch, kept = folder / name / "scratch", folder / (checkpoints or f"{name}/checkpoints")
        scratch.mkdir(parents=True)
        kept.mkdir(parents=True, exist_ok=True)
        return cls(scratch, kept, stop_at)

    def log_metric(self, name: str, value: float, step: float | None = None) -> None:
        """Keep the metric, or stop."""
        self.metrics.append((name, float(value), step))
        if len(self.metrics) == self.stop_at:
            raise Stopped

    def progress(self, _phase: str, share: float) -> None:
        """Keep the share."""
        self.shares.append(share)


class RecordedData(TableHandle):
    """A table in memory as a `TrainingData` that notes each reading in a file, in other processes too.

    Args:
        rows: The table.
        log: The file; None notes nothing.
    """

    def __init__(self, rows: pl.DataFrame, log: Path | None = None) -> None:
        super().__init__(rows.lazy(), rows.height, table_digest(rows))
        self._log = log

    def batches(
        self,
        *,
        columns: Sequence[str] | None = None,
        size: int = 8192,
        seed: int | None = None,
        epoch: int = 0,
        shard: tuple[int, int] = (0, 1),
        start: int = 0,
    ) -> Iterator[pa.RecordBatch]:
        """Note the reading, and yield the rows."""
        if self._log is not None:
            with self._log.open("a") as log:
                log.write(json.dumps({"seed": seed, "epoch": epoch, "shard": shard, "start": start}) + "\n")
        return super().batches(columns=columns, size=size, seed=seed, epoch=epoch, shard=shard, start=start)

    def readings(self) -> list[dict[str, Any]]:
        """Return the calls of `batches` so far."""
        if self._log is None or not self._log.exists():
            return []
        return [json.loads(line) for line in self._log.read_text().splitlines()]
