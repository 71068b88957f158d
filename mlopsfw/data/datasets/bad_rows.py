"""The rows set aside from a dataset, in a table beside it. Which rows those are is `mlopsfw.data.intake.quarantine`'s."""

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
        """Append the rows that one load set aside."""
        import pyarrow as pa

        self._tables.append(self._table, pa.Table.from_pylist(msgspec.to_builtins(rows)))

    def all(self) -> list[BadRow]:
        """Return what was ever set aside, newest load first, each in the order of its rows."""
        if not self._tables.exists(self._table):
            return []
        rows = self._tables.scan(self._table).collect().sort("time", "batch", descending=True, maintain_order=True)
        return msgspec.convert(rows.to_dicts(), list[BadRow])


class BadRowErasure:
    """Quarantine tables that lose the rows in which a subject's texts stand.

    Args:
        services: The kernel's.
    """

    def __init__(self, services: Services) -> None:
        self._tables = TableErasure(services)

    def count(self, dataset: str, subject: Subject) -> int:
        """Return how many bad rows of a dataset the subject's texts stand in."""
        return self._tables.count(table_name(dataset), _with_texts(subject))

    def remove(self, dataset: str, subject: Subject, *, again: bool) -> int:
        """Remove them; return how many they were.

        Args:
            dataset: The dataset.
            subject: Whose texts.
            again: Whether an erasure of the subject was cut short: rows that are gone may still stand in files that are not.
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
    """Return where a dataset's quarantine table is."""
    return f"quarantine/{dataset}"
