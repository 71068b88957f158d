"""The quarantine of a dataset: bad rows in a table beside it. `mlopsfw.data.intake.quarantine` decides which rows are bad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.data.intake.quarantine import BadRow
from mlopsfw.data.tables.erasure import TableErasure, Which

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.data.tables.plain import PlainTables
    from mlopsfw.kernel.component import Subject
    from mlopsfw.kernel.services import Services


class BadRows:
    """The bad rows of one dataset.

    Args:
        tables: Where their table is.
        dataset: The dataset.
    """

    def __init__(self, tables: PlainTables, dataset: str) -> None:
        self._tables, self._table = tables, table_name(dataset)

    def keep(self, rows: Sequence[BadRow]) -> None:
        """Append the bad rows of one load."""
        import pyarrow as pa

        self._tables.append(self._table, pa.Table.from_pylist(msgspec.to_builtins(rows)))

    def all(self) -> list[BadRow]:
        """Return all bad rows, newest load first, each load in the order of its rows."""
        if not self._tables.exists(self._table):
            return []
        rows = self._tables.scan(self._table).collect().sort("time", "batch", descending=True, maintain_order=True)
        return msgspec.convert(rows.to_dicts(), list[BadRow])


class BadRowErasure:
    """Erases rows with a subject's texts from quarantine tables.

    Args:
        services: The kernel's services.
    """

    def __init__(self, services: Services) -> None:
        self._tables = TableErasure(services)

    def count(self, dataset: str, subject: Subject) -> int:
        """Return how many bad rows of a dataset contain a text of the subject."""
        return self._tables.count(table_name(dataset), _with_texts(subject))

    def remove(self, dataset: str, subject: Subject, *, again: bool) -> int:
        """Remove these rows; return how many.

        Args:
            dataset: The dataset.
            subject: The subject.
            again: Whether an earlier erasure of the subject was interrupted, so that files may still hold rows that the table lacks.
        """
        if not (again or self.count(dataset, subject)):
            return 0
        return self._tables.remove(table_name(dataset), _with_texts(subject))


def _with_texts(subject: Subject) -> Which:
    import polars as pl

    def which(_: object) -> pl.Expr:
        return pl.any_horizontal(
            pl.col(name).str.contains(text, literal=True) for name in ("raw", "reason") for text in subject.texts
        )

    return which


def table_name(dataset: str) -> str:
    """Return the location of a dataset's quarantine table."""
    return f"quarantine/{dataset}"
