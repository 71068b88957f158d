"""Rows that cannot be taken in, kept beside the dataset with where they stood and why; over a set share the load fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.base.ids import new_run_id

if TYPE_CHECKING:
    import pyarrow as pa

WITHHELD = "mlopsfw does not show what is wrong, since the dataset has personal columns: look at the source"
_KEPT = 1 << 16  # characters of a raw row
_MOST = 100_000  # rows of one load; they wait in memory until it is known whether it holds


class BadRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row that was set aside.

    Args:
        batch: The load that met it, as the version's event names it.
        time: When, RFC 3339.
        source: The file.
        line: Where it begins, from 1; in files without lines, the row's number.
        reason: What was wrong.
        raw: The row as it stood, or its first 65,536 characters.
    """

    batch: str
    time: str
    source: str
    line: int
    reason: str
    raw: str


class Quarantine:
    """What one load sets aside.

    Args:
        keep: Stores the rows that were set aside.
        name: The dataset.
        share: The greatest share of bad rows that the load may have.
        time: Now, RFC 3339.
        personal: Whether the dataset has marked columns. Of a bad row no one knows which text is in which column, so neither the row
            nor what is wrong with it is kept then, only where it stands.
    """

    def __init__(
        self, keep: Callable[[Sequence[BadRow]], None], name: str, share: float, time: str, *, personal: bool = False
    ) -> None:
        self._personal = personal
        self._store, self._name, self._time, self.share = keep, name, time, share
        self.batch, self._rows = new_run_id(), list[BadRow]()
        self._total = self._swallowed = 0

    def add(self, source: str, line: int, reason: str, raw: str, *, counted: bool = False, rows: int = 1) -> None:
        """Set a row aside. Raise `DataError` where there are too many.

        Args:
            source: The file.
            line: Where it begins.
            reason: What is wrong.
            raw: The row.
            counted: Whether it came in a batch that `watch` saw.
            rows: How many it counts as for the share: all those that it swallowed.
        """
        if self._personal:
            reason, raw = WITHHELD, ""
        if len(raw) > _KEPT:
            reason, raw = f"{reason} (only the first {_KEPT:,} of {len(raw):,} characters are kept)", raw[:_KEPT]
        self._rows.append(BadRow(batch=self.batch, time=self._time, source=source, line=line, reason=reason, raw=raw))
        self._total += 0 if counted else rows
        self._swallowed += rows - 1
        if len(self._rows) >= _MOST:
            self._keep()
            raise DataError(f"{_MOST:,} bad rows, the last one {source}:{line}: {reason}", hint=self._hint())

    def watch(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield `batches`; after the last keep what was set aside, and raise `DataError` where its share is too great."""
        for batch in batches:
            self._total += batch.num_rows
            yield batch
        self._keep()
        bad = len(self._rows) + self._swallowed
        if bad > self.share * self._total:
            first = self._rows[0]
            raise DataError(
                f"{bad:,} of {self._total:,} rows are bad, more than {self.share:.2%}; "
                f"the first one is {first.source}:{first.line}: {first.reason}",
                hint=self._hint(),
            )

    def _hint(self) -> str:
        return f"Nothing was committed. To see the rows: mlopsfw data quarantine {self._name}"

    def _keep(self) -> None:
        if self._rows:
            self._store(self._rows)

    def facts(self) -> dict[str, Any]:
        """Return what the version's event holds: counts and the batch, never a value."""
        return {"quarantined": len(self._rows), "batch": self.batch} if self._rows else {}
