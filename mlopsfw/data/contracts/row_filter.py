"""Put rows that break a contract in quarantine while a dataset is loaded, with the broken rule.

Only rules that a single row decides, and that allow no exception, filter rows: `range`, `values` and `pattern` without `allow`, `nulls = 0`,
and failing row-wise conditions. Shares, keys and order concern the whole table; `data check` evaluates them.

"""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.data.contracts.checks import Check, compile_checks
from mlopsfw.data.contracts.expressions import is_of_a_row
from mlopsfw.data.contracts.model import Contract
from mlopsfw.data.tables.calendar import outside_calendar
from mlopsfw.data.tables.columns import plain_rows

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from mlopsfw.data.intake.quarantine import Quarantine

_OF_A_VALUE = ("range", "values", "pattern", "nulls")


class RowFilter:
    """Removes rows that break a contract from batches.

    Args:
        contract: The contract of the rows.
        personal: Columns that a later step treats: the contract describes their treated values, so it is not applied here.
    """

    def __init__(self, contract: Contract, personal: Collection[str] = ()) -> None:
        columns = {name: rules for name, rules in contract.columns.items() if name not in personal}
        self.contract = msgspec.structs.replace(contract, columns=columns)
        self._personal = frozenset(personal)

    def filtered(
        self, batches: Iterator[pa.RecordBatch], quarantine: Quarantine, source: str
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of `batches` (one schema) that keep the contract. Put the others in `quarantine`, with their number in the load."""
        checks: list[Check] | None = None
        before = 0
        for batch in batches:
            frame = _frame(batch)
            if checks is None:
                checks = self._row_checks(frame.schema)
            broken = _broken(frame, checks)
            strays = _strays(frame) if broken else ()
            for row, check in broken.items():
                values = plain_rows(batch[row : row + 1])[0] if row in strays else frame.row(row, named=True)
                quarantine.add(source, before + row + 1, _reason(check, values), json.dumps(values, default=str))
            yield _without(batch, broken) if broken else batch
            before += batch.num_rows

    def _row_checks(self, schema: Mapping[str, Any]) -> list[Check]:
        checks = compile_checks(self.contract, schema)
        return [check for check in checks if check.level == "fail" and not check.allow and self._is_of_a_row(check)]

    def _is_of_a_row(self, check: Check) -> bool:
        if check.failing is None or self._personal & set(check.columns):
            return False
        return check.rule in _OF_A_VALUE if check.height is None else is_of_a_row(check.failing)


def _broken(frame: pl.DataFrame, checks: list[Check]) -> dict[int, Check]:
    """Return the rows that break a check, each with the first check that it breaks."""
    import polars as pl

    if not checks or frame.is_empty():
        return {}
    failures = frame.select(check.failing.alias(str(n)) for n, check in enumerate(checks) if check.failing is not None)
    rows = failures.select(pl.any_horizontal(pl.all()).arg_true()).to_series().to_list()
    return {row: checks[failures.row(row).index(True)] for row in rows}


def _strays(frame: pl.DataFrame) -> Collection[int]:
    """Return the rows with a date or time that Python cannot represent."""
    import polars as pl

    strays = [stray for name, kind in frame.schema.items() if (stray := outside_calendar(name, kind)) is not None]
    return set(frame.select(pl.any_horizontal(strays).arg_true()).to_series()) if strays else ()


def _without(batch: pa.RecordBatch, rows: Collection[int]) -> pa.RecordBatch:
    """Return the batch without some rows, in slices: Arrow does not filter string views, which Delta tables and IPC files hold."""
    import pyarrow as pa

    edges = [-1, *sorted(rows), batch.num_rows]
    return pa.concat_batches([batch[start + 1 : stop] for start, stop in itertools.pairwise(edges)])


def _frame(batch: pa.RecordBatch) -> pl.DataFrame:
    import polars as pl

    frame = pl.from_arrow(batch)
    return frame if isinstance(frame, pl.DataFrame) else frame.to_frame()


def _reason(check: Check, values: Mapping[str, Any]) -> str:
    if check.rule == "nulls":
        return f"{check.columns[0]} has no value"
    description = ", ".join(f"{name} is {values[name]!r}" for name in check.columns)
    return f"{description}: {check.rule if check.height is not None else 'not'} {check.expected}"
