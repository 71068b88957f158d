"""The monitor `sample`: finds columns that lack more values than they may."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from mlopsfw import Provider, hookimpl
from mlopsfw.roles import Finding, Host, Monitor, Number, Signals, Window

_NO_INPUTS = {"prediction_id", "event_time", "processed_time"}


class SampleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[monitor]]` with `use = "sample"`.

    Args:
        limit: The greatest share of nulls that a column may have.
        min_rows: A window with fewer rows is not compared.
    """

    limit: float = 0.2
    min_rows: int = 50


class SampleMonitor(Monitor):
    """Compares each column's share of nulls with the limit, and keeps the shares for the window that follows."""

    def __init__(self, config: SampleConfig) -> None:
        self._config = config

    def signals(self, window: Window, state: Any) -> Signals:
        """Return a number for each column, and a finding for each one over the limit."""
        rows = window.rows.num_rows
        if rows < self._config.min_rows:
            return Signals(compared=False, state=state, summary=f"{rows} rows are too few to compare.")
        columns = [name for name in window.rows.column_names if name not in _NO_INPUTS]
        shares = {name: window.rows[name].null_count / rows for name in columns}
        order = sorted(shares, key=lambda name: shares[name], reverse=True)
        before = state or {}
        return Signals(
            numbers=tuple(self._number(name, shares[name]) for name in order),
            findings=tuple(
                self._finding(name, shares[name], before) for name in order if shares[name] > self._config.limit
            ),
            state=shares,
        )

    def _number(self, name: str, share: float) -> Number:
        limit = self._config.limit
        return Number(name=name, kind="quality", value=share, effect=share, threshold=limit, changed=share > limit)

    def _finding(self, name: str, share: float, before: dict[str, float]) -> Finding:
        last = f", after {before[name]:.0%} in the window before" if name in before else ""
        message = f"{name} lacks {share:.0%} of its values{last}."
        return Finding(kind="quality", subject=name, severity="warning", message=message, value=share)


def _build(config: SampleConfig, _host: Host) -> Monitor:
    return SampleMonitor(config)


@hookimpl
def mlopsfw_monitors() -> Iterable[Provider[Monitor]]:
    """Offer the monitor."""
    yield Provider("sample", SampleConfig, _build, "Columns that lack too many values")
