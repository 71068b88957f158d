"""The rows set aside from a dataset, in a table beside it. Which rows those are is `mlopsfw.data.intake.quarantine`'s."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.data.intake.quarantine import BadRow

if TYPE_CHECKING:
    from mlopsfw.data.tables.plain import PlainTables


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
        found = self._tables.scan(self._table).collect().sort("time", "batch", descending=True, maintain_order=True)
        return msgspec.convert(found.to_dicts(), list[BadRow])


def table_name(dataset: str) -> str:
    """Return where a dataset's quarantine table is."""
    return f"quarantine/{dataset}"
