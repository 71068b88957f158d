"""What makes a window an alarm: one rule for the signals of every monitor. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlopsfw.monitoring.settings import AlarmRule

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.monitoring import Finding, Number, Signals

OF_COLUMNS = frozenset({"drift", "quality"})
"""The kinds of numbers that describe columns; the others describe the model."""


def is_alarm(signals: Signals, importance: Mapping[str, float], rule: AlarmRule, *, look: int = 1) -> bool:
    """Return whether the signals of a window are an alarm.

    Columns alarm by the rule. A finding that the rule does not cover alarms by itself, unless its severity is `info`.

    Args:
        signals: What the monitor said.
        importance: Column → share of the model's decision, where known.
        rule: Which columns alarm.
        look: Which look at the window this is. Only labels alarm at a later one: the first has reported the drift.
    """
    findings = [finding for finding in signals.findings if finding.severity != "info"]
    if look > 1:
        return any(finding.kind not in OF_COLUMNS for finding in findings)
    columns = [number for number in signals.numbers if number.kind in OF_COLUMNS]
    return _columns_alarm(columns, importance, rule) or _others_alarm(findings, columns)


def _others_alarm(findings: list[Finding], columns: list[Number]) -> bool:
    names = {number.name for number in columns}
    return any(finding.kind not in OF_COLUMNS or finding.subject not in names for finding in findings)


def _columns_alarm(columns: list[Number], importance: Mapping[str, float], rule: AlarmRule) -> bool:
    changed = [number.name for number in columns if number.changed]
    if rule.alarm == "any" or not changed:
        return bool(changed)
    if rule.alarm == "share":
        return len(changed) >= rule.share * len(columns)
    total = sum(importance.values())
    return total <= 0 or sum(importance.get(name, 0.0) for name in changed) >= rule.share * total
