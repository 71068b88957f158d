"""The results of a check, rule by rule, worst first: for the terminal, JSON, the page and the ledger."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from mlopsfw.data.contracts.model import Level

Status = Literal["fail", "warn", "skip", "pass"]

_ORDER: tuple[Status, ...] = ("fail", "warn", "skip", "pass")

HIDDEN = "•••"
"""Shown in place of the values of a personal column."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one rule.

    Args:
        rule: Its kind, such as `range`.
        columns: Its columns.
        level: Whether breaking it fails or warns.
        status: The result; `skip` if the rule could not be evaluated, with the reason in `found`.
        failing: How many rows break it.
        share: Their share of all rows.
        expected: The requirement, in words.
        found: The fault, in words; empty if the rule holds.
        examples: Some of the rows that break it: column → text. `row` is the row's number, from 0.
    """

    rule: str
    columns: tuple[str, ...]
    level: Level
    status: Status
    failing: int = 0
    share: float = 0.0
    expected: str = ""
    found: str = ""
    examples: tuple[dict[str, str | None], ...] = ()

    @property
    def subject(self) -> str:
        """The rule's columns, or nothing for a rule of the table."""
        return ", ".join(self.columns)

    def __str__(self) -> str:
        of = f" of {self.subject}" if self.columns else ""
        rows = f" ({self.failing:,} rows, {self.share:.2%})" if self.failing else ""
        return f"{self.rule}{of}: {self.found}{rows}; must be {self.expected}"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The report of a check.

    Args:
        subject: The checked rows, such as `data:/flights@3` or a file.
        contract: The file of the contract.
        digest: sha256 of the contract's file, or of its values.
        rows: How many rows were checked.
        results: Worst first.
    """

    subject: str
    contract: str
    digest: str
    rows: int
    results: tuple[Result, ...]

    @property
    def failed(self) -> tuple[Result, ...]:
        """The broken rules that fail."""
        return tuple(result for result in self.results if result.status == "fail")

    @property
    def warned(self) -> tuple[Result, ...]:
        """The broken rules that warn."""
        return tuple(result for result in self.results if result.status == "warn")

    @property
    def passed(self) -> bool:
        """Whether no rule fails."""
        return not self.failed

    def summary(self) -> str:
        """Return a summary in one sentence."""
        skipped = sum(result.status == "skip" for result in self.results)
        more = f", {skipped} skipped" if skipped else ""
        return f"{len(self.results)} rules on {self.rows:,} rows: {len(self.failed)} failed, {len(self.warned)} warned{more}"

    def to_dict(self, *, examples: bool = True) -> dict[str, Any]:
        """Return the report as JSON values."""
        rules: list[dict[str, Any]] = msgspec.to_builtins(self.results)
        if not examples:
            rules = [{name: value for name, value in rule.items() if name != "examples"} for rule in rules]
        counts = {"passed": self.passed, "failed": len(self.failed), "warned": len(self.warned)}
        return {
            "subject": self.subject,
            "contract": self.contract,
            "digest": self.digest,
            "rows": self.rows,
            **counts,
            "rules": rules,
        }


def worst_first(results: list[Result]) -> tuple[Result, ...]:
    """Return results in the order failed, warned, skipped, passed; each with the largest share first."""
    return tuple(sorted(results, key=lambda each: (_ORDER.index(each.status), -each.share, each.rule, each.columns)))
