"""Make the report of a window of what a monitor says of it. What a report says of the window comes from the window alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.roles.monitoring import Number, Report, Signals, Window
from mlopsfw.monitoring.decision import OF_COLUMNS, is_alarm
from mlopsfw.monitoring.reasons import with_reasons
from mlopsfw.monitoring.settings import AlarmRule

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.monitoring import Monitor


def examine(
    name: str, monitor: Monitor, window: Window, rule: AlarmRule, state: Any = None, *, reasons: Window | None = None
) -> tuple[Report, Any]:
    """Have a monitor examine a window; return the report, and the state for the next window.

    Args:
        name: The monitor's name in the configuration.
        monitor: The monitor.
        window: The window, with its baseline.
        rule: Which columns alarm.
        state: What the monitor returned for the window before.
        reasons: The contributions to the answers of some of its rows; see `mlopsfw.monitoring.reasons`.
    """
    signals = monitor.signals(window, state)
    if reasons is not None:
        signals = with_reasons(signals, monitor.signals(reasons, None))
    return report_of(name, window, signals, rule), signals.state


def report_of(name: str, window: Window, signals: Signals, rule: AlarmRule) -> Report:
    """Return the report: what the monitor says, and whether it is an alarm."""
    return Report(
        monitor=name,
        endpoint=window.endpoint,
        model=window.model,
        version=window.version,
        start=window.start,
        end=window.end,
        rows=window.rows.num_rows,
        labelled=_labelled(window),
        labels_aside=dict(window.labels_aside),
        alarm=is_alarm(signals, window.baseline.importance, rule, look=window.look),
        compared=signals.compared,
        summary=signals.summary or _summary(signals),
        findings=signals.findings,
        columns=tuple(_column(number) for number in signals.numbers if number.kind in OF_COLUMNS),
        metrics=_metrics(signals),
    )


def _labelled(window: Window) -> int:
    """Return how many predictions have a label. A row without an output predicts nothing."""
    rows, labels = window.rows, window.labels
    if labels is None or not labels.num_rows or "prediction_id" not in rows.column_names:
        return 0
    import pyarrow.compute as pc

    for name in window.baseline.outputs[:1]:
        rows = rows.filter(pc.is_valid(rows.column(name))) if name in rows.column_names else rows
    ids = labels.filter(pc.is_valid(labels.column("label"))).column("prediction_id")
    return int(pc.sum(pc.is_in(rows.column("prediction_id"), value_set=ids.combine_chunks())).as_py() or 0)


def _column(number: Number) -> dict[str, Any]:
    facts = {"type": "", "statistic": "", **number.facts}
    return {
        "column": number.name,
        "value": number.value,
        "pvalue": number.pvalue,
        "effect": number.effect,
        "threshold": number.threshold,
        "drifted": number.changed,
        **{name: value for name, value in facts.items() if name not in _COLUMN},
    }


_COLUMN = frozenset({"column", "value", "pvalue", "effect", "threshold", "drifted"})


def _metrics(signals: Signals) -> dict[str, float]:
    numbers = [number for number in signals.numbers if number.kind not in OF_COLUMNS and number.value is not None]
    values = {number.name: number.value for number in numbers if number.value is not None}
    errors = {f"{number.name}_standard_error": number.error for number in numbers if number.error is not None}
    return values | errors


def _summary(signals: Signals) -> str:
    if not signals.compared:
        return "there was not enough to compare"
    if not signals.findings:
        return "no finding"
    first = signals.findings[0].message
    return first if len(signals.findings) == 1 else f"{first}; {len(signals.findings) - 1} more findings"
