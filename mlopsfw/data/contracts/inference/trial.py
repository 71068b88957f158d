"""Try rules on rows from which they were not learned, and withdraw those that do not hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.data.contracts.evaluation import judge
from mlopsfw.data.contracts.inference.rounding import rounded_up
from mlopsfw.data.contracts.model import COLUMN_RULES, ColumnRules, Contract

if TYPE_CHECKING:
    import datetime as dt

    import polars as pl

_WRONG = 0.02  # of rows: a rule that more of them break is no rule

Broken = Mapping[tuple[str, tuple[str, ...]], float]
"""(rule, columns) → share of rows that break it. The text of a condition is its name."""


def broken_rules(rows: pl.LazyFrame, contract: Contract, now: dt.datetime) -> Broken:
    """Return the rules that rows break, whatever their level."""
    report = judge(rows, contract, now=now, examples=0)
    broken = [result for result in report.results if result.status in ("fail", "warn")]
    return {
        (result.expected if result.rule == "rule" else result.rule, result.columns): result.share
        for result in broken
        if result.rule not in ("min_rows", "max_rows", "freshness")
    }


def amend(contract: Contract, broken: Broken, *, drop: bool = False) -> tuple[Contract, list[str]]:
    """Return the contract without rules that many rows break; rules that few rows break only warn.

    Args:
        contract: The rules.
        broken: The rules that did not hold.
        drop: Leave out every broken rule.

    Returns:
        The contract, and the omitted rules, in words.
    """
    dropped: list[str] = []

    def lost(key: tuple[str, tuple[str, ...]]) -> bool:
        out = key in broken and (drop or broken[key] > _WRONG or key[0] in ("unique", "order"))
        if out:
            dropped.append(f"{key[0]} of {', '.join(key[1])}" if key[0] in COLUMN_RULES else key[0])
        return out

    columns = {name: _amended(name, rules, broken, lost) for name, rules in contract.columns.items()}
    keys = tuple(key for key in contract.unique if not lost(("unique", key.columns)))
    conditions = tuple(
        condition for condition in contract.rule if not any(lost(key) for key in broken if key[0] == condition.that)
    )
    demoted = {that for that, _ in broken}
    conditions = tuple(
        msgspec.structs.replace(condition, level="warn") if condition.that in demoted else condition
        for condition in conditions
    )
    return msgspec.structs.replace(contract, columns=columns, unique=keys, rule=conditions), dropped


def _amended(name: str, rules: ColumnRules, broken: Broken, is_dropped: Any) -> ColumnRules:
    changes: dict[str, Any] = {}
    warn = list(rules.warn)
    for rule in COLUMN_RULES:
        key = (rule, (name,))
        if key not in broken or (not getattr(rules, rule) and rule != "nulls"):
            continue
        if rule == "nulls":  # its share is the finding: the observed share is allowed, with room
            changes["nulls"] = max(rules.nulls or 0.0, min(rounded_up(1.5 * broken[key]), 1.0))
        elif is_dropped(key):
            changes[rule] = False if rule == "unique" else None
            warn = [name_of_rule for name_of_rule in warn if name_of_rule != rule]
            continue
        if rule not in warn:
            warn.append(rule)
    return msgspec.structs.replace(rules, warn=tuple(warn), **changes)
