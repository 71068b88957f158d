"""`DriftMonitor`: compares a window with the training profile, and says what changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlopsfw.roles import Baseline, Finding, Monitor, Number, Report, Signals, Window
from mlopsfw_core import ColumnDrift, Reference, compare_table
from mlopsfw_monitor_drift import DriftConfig
from mlopsfw_monitor_drift.groups import FEWEST_GROUPS, design_effects, enough, row_groups
from mlopsfw_monitor_drift.page import render
from mlopsfw_monitor_drift.performance import Decay, decay


class DriftMonitor(Monitor):
    """Examines windows with one configuration."""

    def __init__(self, config: DriftConfig) -> None:
        self._config = config

    def signals(self, window: Window, state: Any) -> Signals:
        """Compare the window's columns with the profile, and its labels with the metrics at evaluation."""
        if window.rows.num_rows < self._config.min_rows:
            few = f"{window.rows.num_rows} rows are too few to compare (min_rows = {self._config.min_rows})"
            return Signals(state=state, compared=False, summary=few)
        baseline = window.baseline
        groups = row_groups(window.rows, self._config)
        drifts = (
            self._compare(window, baseline, groups) if window.look == 1 else []
        )  # later looks judge only the labels
        decayed = decay(window, baseline, groups, self._config)
        unused = _unused_thresholds(baseline, self._config)
        without = _without_statistics(baseline) if window.look == 1 else []
        findings = [*_findings(drifts, decayed, baseline), *caveats(groups, self._config), *unused, *without]
        return Signals(
            numbers=(*(_number(drift, baseline) for drift in drifts), *decayed.numbers),
            findings=tuple(findings),
            state=state,
            compared=bool(drifts or decayed.numbers),
            summary="; ".join(filter(None, (_summary(drifts, decayed, baseline), _not_compared(without)))),
        )

    def page(self, report: Report, window: Window) -> str | None:
        """Return the page."""
        flat = msgspec.structs.replace(window, rows=by_class(window.rows, window.baseline))
        return render(report, flat, self._config)

    def _compare(self, window: Window, baseline: Baseline, groups: NDArray[np.int64] | None) -> list[ColumnDrift]:
        rows = by_class(window.rows, baseline)
        profile = {name: Reference.from_dict(content) for name, content in baseline.profile.items()}
        inputs = {name: reference for name, reference in profile.items() if name != baseline.target}
        config = self._config
        alpha = columns_alpha(window, config)
        effects = design_effects(inputs, rows, groups, config.design_effect, alpha)
        thresholds = {name: threshold for name, threshold in config.thresholds.items() if name in inputs}
        return compare_table(inputs, rows, alpha, config.threshold, thresholds, effects)


def _findings(drifts: Sequence[ColumnDrift], decayed: Decay, baseline: Baseline) -> list[Finding]:
    drifted = sorted((drift for drift in drifts if drift.drifted), key=lambda drift: -_weight(drift, baseline))
    return [*decayed.findings, *(_finding(drift, baseline) for drift in drifted)]


def _unused_thresholds(baseline: Baseline, config: DriftConfig) -> list[Finding]:
    """Return a finding for each threshold of a column that the model does not have: another model's, or a misspelt name."""
    return [
        Finding(
            kind="quality",
            subject=name,
            severity="info",
            message=f"A threshold is set for {name!r}, which is no column of this model.",
            facts={},
        )
        for name in config.thresholds
        if name not in baseline.profile
    ]


def _without_statistics(baseline: Baseline) -> list[Finding]:
    """Return a finding for each input and output that cannot be compared, since the profile has no statistics of it."""
    return [
        Finding(
            kind="quality",
            subject=name,
            severity="info",
            message=f"{name!r} was not compared: binary columns, lists and tensors have no statistics. "
            "To watch it, compute a number of it, such as its length, in a step or in the client.",
        )
        for name in baseline.unprofiled
    ]


def _not_compared(without: Sequence[Finding]) -> str:
    return f"not compared: {', '.join(finding.subject for finding in without)}" if without else ""


def columns_alpha(window: Window, config: DriftConfig) -> float:
    """Return the level of the columns: half of it if the window has labels or may get some, else all of it."""
    return config.alpha if window.labels is None and window.looks == 1 else config.alpha / 2


def caveats(groups: NDArray[np.int64] | None, config: DriftConfig) -> list[Finding]:
    """Return a finding if the window has too few groups to estimate how strongly rows of one group correlate."""
    if groups is None or enough(groups) or config.design_effect > 1:
        return []
    many = int(groups.max()) + 1
    return [
        Finding(
            kind="quality",
            subject="event_time" if config.group == "day" else config.group,
            severity="info",
            message=f"{_counted(many, config.group)} cannot show how strongly rows of the same {config.group} correlate. "
            "The test treats these rows as independent, and can alarm more often than the configured level. "
            f"Examine at least {_counted(FEWEST_GROUPS, config.group)} together, or set design_effect.",
            facts={"groups": many, "fewest": FEWEST_GROUPS},
        )
    ]


def _counted(many: int, group: str) -> str:
    number = "One" if many == 1 else str(many)
    if group == "day":
        return f"{number} day{'s' * (many > 1)} of data"
    return f"{number} value{'s' * (many > 1)} of {group!r}"


def is_output(column: str, baseline: Baseline) -> bool:
    """Return whether a column is an output of the model, or one class of an output."""
    return any(column == name or column.startswith(f"{name}[") for name in baseline.outputs)


def by_class(rows: pa.Table, baseline: Baseline) -> pa.Table:
    """Return the rows with one column per class, `output[class]`, for each output that is a list, as in the profile."""
    import pyarrow.compute as pc

    for name in baseline.outputs:
        if name in rows.column_names and pa.types.is_nested(rows.schema.field(name).type):
            for index, label in enumerate(baseline.classes):
                rows = rows.append_column(f"{name}[{label}]", pc.list_element(rows.column(name), index))
    return rows


def _weight(drift: ColumnDrift, baseline: Baseline) -> float:
    """Return drift times importance, since drift alone is no harm. Without importances all columns weigh the same."""
    if not baseline.importance or is_output(drift.column, baseline):
        return drift.effect
    return drift.effect * max(baseline.importance.get(drift.column, 0.0), 0.0)


def _finding(drift: ColumnDrift, baseline: Baseline) -> Finding:
    output = is_output(drift.column, baseline)
    absent = drift.statistic in ("absent", "type")
    return Finding(
        kind="quality" if absent or drift.statistic == "missing" else "drift",
        subject=drift.column,
        severity="critical" if absent else "warning",
        message=_sentence(drift, output=output),
        value=drift.effect,
        threshold=drift.threshold,
        pvalue=drift.pvalue,
        facts={
            "statistic": drift.statistic,
            "importance": baseline.importance.get(drift.column),
            **_plain(drift.details),
        },
    )


def _sentence(drift: ColumnDrift, *, output: bool) -> str:
    subject = f"the prediction {drift.column!r}" if output else f"{drift.column!r}"
    details = drift.details
    if drift.statistic in ("absent", "type"):
        return f"{subject}: {details['reason']}"
    if drift.statistic == "missing":
        return f"{subject} is missing in {details['missing_share']:.1%} of rows, in training in {details['reference_missing_share']:.1%}"
    moved = f"{subject} has drifted: at least {drift.effect:.1%} of its values differ"
    if details.get("moved"):
        most = details["moved"][0]
        return f"{moved}; the largest change is {most['category']!r}, from {most['reference']:.1%} to {most['current']:.1%}"
    if details.get("current_mean") is not None:
        return f"{moved}; its mean went from {details['reference_mean']:.4g} to {details['current_mean']:.4g}"
    return moved


def _summary(drifts: Sequence[ColumnDrift], decayed: Decay, baseline: Baseline) -> str:
    """Return one sentence that begins with the reason for an alarm, if there is one."""
    drifted = [d.column for d in sorted(drifts, key=lambda d: -_weight(d, baseline)) if d.drifted]
    moved = f"{len(drifted)} of {len(drifts)} columns drifted"
    moved += f": {', '.join(drifted[:5])}{', …' if len(drifted) > 5 else ''}" if drifted else ""  # noqa: PLR2004
    verdict = f"the model is worse: {decayed.summary}" if decayed.findings else decayed.summary
    if not drifts:
        return verdict or "too few labels to judge the model"
    parts = [verdict, moved] if decayed.findings and not drifted else [moved, verdict]
    return "; ".join(filter(None, parts))


def _number(drift: ColumnDrift, baseline: Baseline) -> Number:
    return Number(
        name=drift.column,
        kind="drift",
        value=_finite(drift.value),
        pvalue=_finite(drift.pvalue),
        effect=_finite(drift.effect),
        threshold=drift.threshold,
        changed=drift.drifted,
        facts={
            "type": drift.type,
            "statistic": drift.statistic,
            "importance": baseline.importance.get(drift.column),
            "details": _plain(drift.details),
        },
    )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _plain(details: Any) -> Any:
    """Return details as JSON values: without NumPy scalars, and None for numbers that are not finite."""
    if isinstance(details, dict):
        return {str(key): _plain(value) for key, value in details.items()}
    if isinstance(details, list | tuple):
        return [_plain(value) for value in details]
    if isinstance(details, float | np.floating):
        return _finite(float(details))
    if isinstance(details, np.integer):
        return int(details)
    return details if details is None or isinstance(details, str | int | bool) else msgspec.to_builtins(details)
