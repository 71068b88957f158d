"""The step `sample`: leaves out the rows that lack a value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from mlopsfw import Provider, hookimpl
from mlopsfw.errors import DataError
from mlopsfw.roles import Host, Step, StepContext


class SampleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.NAME]` with `use = "sample"`.

    Args:
        column: The column that must have a value.
    """

    column: str


def _build(config: SampleConfig, _host: Host) -> Step:
    def run(context: StepContext) -> Mapping[str, object]:
        import polars as pl

        rows = context.load("rows", pl.DataFrame)  # a dataset would be a LazyFrame otherwise
        if config.column not in rows.columns:
            raise DataError(f"the rows have no column {config.column!r}", hint=f"They have {', '.join(rows.columns)}.")
        kept = rows.drop_nulls(config.column)
        context.log_metric("left_out", rows.height - kept.height)
        return {"rows": kept}

    return Step(run=run, inputs=("rows",), outputs=("rows",), each=("rows",))


@hookimpl
def mlopsfw_steps() -> Iterable[Provider[Step]]:
    """Offer the step."""
    yield Provider("sample", SampleConfig, _build, "Leave out the rows that lack a value")
