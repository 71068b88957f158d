"""The rules of a gate: `SUM OP SUM`, where a sum is numbers and dotted names joined by `+` and `-`. Parsed, never evaluated as code."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from mlopsfw.kernel.base.errors import DataError, UsageError
from mlopsfw.kernel.base.ids import nearest

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z_][\w-]*(?:\.[\w-]+)*)|(?P<comparison>>=|<=|==|!=|>|<)|(?P<sign>[+-]))"
)
_CHAMPION = "champion."
_HINT = "Write, for instance, 'auc >= 0.65' or 'auc > baseline.logistic.auc + 0.01'."


class Term(msgspec.Struct, frozen=True):
    """A number, or a name to look up, with its sign."""

    sign: int
    number: float = 0.0
    name: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """Whether a rule holds, and its values.

    Args:
        rule: The rule's text.
        holds: Whether it does.
        left: The value of the left side; None if there was nothing to decide.
        right: The value of the right side.
        why: Why there was nothing to decide.
    """

    rule: str
    holds: bool
    left: float | None = None
    right: float | None = None
    why: str = ""

    def __str__(self) -> str:
        if self.left is None or self.right is None:
            return f"{self.rule}: holds, {self.why}"
        return f"{self.rule}: {'holds' if self.holds else 'does not hold'} ({self.left:.6g} against {self.right:.6g})"


class Rule(msgspec.Struct, frozen=True):
    """A comparison of two sums."""

    text: str
    left: tuple[Term, ...]
    comparison: str
    right: tuple[Term, ...]

    @property
    def names_champion(self) -> bool:
        """Whether it compares with the champion."""
        return any(term.name.startswith(_CHAMPION) for term in (*self.left, *self.right))

    def judge(self, metrics: Mapping[str, Any], champion: Mapping[str, Any] | None, *, exempt: str = "") -> Verdict:
        """Return whether the rule holds. A NaN fulfils no rule. Raise `DataError` if a name is not a number of the metrics.

        Args:
            metrics: The candidate's metrics.
            champion: The champion's metrics, or None.
            exempt: Why a rule about the champion has nothing to decide, else empty.
        """
        if self.names_champion and (exempt or champion is None):
            return Verdict(self.text, holds=True, why=exempt or "there is no champion")
        left, right = (_total(side, metrics, champion, self.text) for side in (self.left, self.right))
        holds = not (math.isnan(left) or math.isnan(right)) and _COMPARISONS[self.comparison](left, right)
        return Verdict(self.text, holds, left, right)


def parse_rule(text: str) -> Rule:
    """Parse a rule. Raise `UsageError` with the position of the fault."""
    tokens = list(_tokens(text))
    comparisons = [index for index, (kind, _) in enumerate(tokens) if kind == "comparison"]
    if len(comparisons) != 1:
        raise UsageError(f"rule {text!r} must have one comparison", hint=_HINT)
    at = comparisons[0]
    return Rule(text.strip(), _terms(tokens[:at], text), tokens[at][1], _terms(tokens[at + 1 :], text))


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    place, end = 0, len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            raise UsageError(f"rule {text!r} cannot be read at {text[place:].strip()!r}", hint=_HINT)
        yield str(match.lastgroup), match[str(match.lastgroup)]
        place = match.end()


def _terms(tokens: list[tuple[str, str]], text: str) -> tuple[Term, ...]:
    terms: list[Term] = []
    sign, due = 1, True
    for kind, word in tokens:
        if kind == "sign":
            sign = sign if word == "+" else -sign
            due = True
        elif due:
            terms.append(Term(sign, number=float(word)) if kind == "number" else Term(sign, name=word))
            sign, due = 1, False
        else:
            raise UsageError(f"rule {text!r}: {word!r} needs a + or - before it", hint=_HINT)
    if due:
        raise UsageError(f"rule {text!r} lacks a number or a name", hint=_HINT)
    return tuple(terms)


def _total(terms: tuple[Term, ...], metrics: Mapping[str, Any], champion: Mapping[str, Any] | None, text: str) -> float:
    return sum(term.sign * (_find(term.name, metrics, champion, text) if term.name else term.number) for term in terms)


def _find(name: str, metrics: Mapping[str, Any], champion: Mapping[str, Any] | None, text: str) -> float:
    of_champion = name.startswith(_CHAMPION)
    tree: Any = champion if of_champion else metrics
    path = name.removeprefix(_CHAMPION) if of_champion else name
    known = dict(_numbers(tree))
    if path not in known:
        whose = "the champion's metrics" if of_champion else "the metrics"
        raise DataError(f"rule {text!r}: {path!r} is not a number of {whose}", hint=nearest(path, known))
    return known[path]


def _numbers(tree: Any, above: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            yield from _numbers(value, f"{above}.{name}" if above else str(name))
    elif isinstance(tree, int | float) and not isinstance(tree, bool):
        yield above, float(tree)
