"""A step that leaves out rows which lack a value or are doubled, and raises an alert where that is a large share of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from mlopsfw.errors import DataError
from mlopsfw.roles import Alerts, Step, StepContext


def clean_step(columns: tuple[str, ...], alert_above: float) -> Step:
    """Return the step.

    Args:
        columns: Those that must have a value; all of them where it is empty.
        alert_above: The share of rows, of which more left out is worth an alert.
    """
    return Step(run=partial(_clean, columns, alert_above), inputs=("rows",), outputs=("rows",), version=1)


def _clean(columns: tuple[str, ...], alert_above: float, context: StepContext, alerts: Alerts) -> Mapping[str, object]:
    """Clean the rows. `alerts` is a part of the project: a step gets those that its parameters name."""
    rows = context.load("rows")
    missing = sorted(set(columns) - set(rows.columns))
    if missing:
        raise DataError(f"step {context.step}: the rows have no column {missing[0]!r}", hint="Correct `columns`.")
    kept = rows.drop_nulls(columns or None).unique(maintain_order=True)
    share = 1 - kept.height / max(1, rows.height)
    context.log(f"{kept.height:,} of {rows.height:,} rows are kept")
    context.log_metric("left_out", share)
    if share > alert_above:
        alerts.raise_(
            f"clean/{context.step}", "warning", f"{share:.0%} of the rows were left out", "See the step's log."
        )
    return {"rows": kept}
