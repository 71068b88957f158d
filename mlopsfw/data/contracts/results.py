"""What a check found, rule by rule, worst first: for the terminal, for JSON, for the page and for the ledger."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from mlopsfw.data.contracts.model import Level

Status = Literal["fail", "warn", "skip", "pass"]

_ORDER: tuple[Status, ...] = ("fail", "warn", "skip", "pass")

HIDDEN = "•••"
"""What stands for a value of a personal column."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one rule.

    Args:
        rule: Its kind, such as `range`.
        columns: Of which columns.
        level: What breaking it means.
        status: What came of it; `skip` where it could not be judged, and `found` says why.
        failing: How many rows break it.
        share: Of all rows.
        expected: What the rule asks, in words.
        found: What was there instead, in words; empty where it holds.
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
        """The rule's columns, or nothing for one of the table."""
        return ", ".join(self.columns)

    def __str__(self) -> str:
        of = f" of {self.subject}" if self.columns else ""
        rows = f" ({self.failing:,} rows, {self.share:.2%})" if self.failing else ""
        return f"{self.rule}{of}: {self.found}{rows}; must be {self.expected}"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found.

    Args:
        subject: What was checked, such as `data:/flights@3` or a file.
        contract: Which contract, by its file.
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
        """The rules that are broken, and fail."""
        return tuple(result for result in self.results if result.status == "fail")

    @property
    def warned(self) -> tuple[Result, ...]:
        """The rules that are broken, and warn."""
        return tuple(result for result in self.results if result.status == "warn")

    @property
    def passed(self) -> bool:
        """Whether nothing fails."""
        return not self.failed

    def summary(self) -> str:
        """Return one sentence."""
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
    """Return results: failed, warned, not judged, passed; each with the largest share first."""
    return tuple(sorted(results, key=lambda each: (_ORDER.index(each.status), -each.share, each.rule, each.columns)))
