"""The rules of a gate: `SUM OP SUM`, where a sum is numbers and dotted names joined by `+` and `-`. Parsed, never evaluated as code.

A piece of a name may be quoted (`segments.city."New York".auc`), or `*` for every value: such a rule holds where it holds for each.
"""

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
    r"|(?P<name>[A-Za-z_][\w-]*(?:\.(?:[\w-]+|\*|\"[^\"]*\"))*)|(?P<comparison>>=|<=|==|!=|>|<)|(?P<sign>[+-]))"
)
_PIECE = re.compile(r"\"([^\"]*)\"|([^.]+)")
_BARE = re.compile(r"[\w-]+|\*")
_MOST = 20  # names in a hint
_STARS = "The same values stand for the stars of each name."
_HINT = "Write, for instance, 'auc >= 0.65' or 'auc > baseline.logistic.auc + 0.01'."


class Term(msgspec.Struct, frozen=True):
    """A number, or a name to look up, with its sign.

    Args:
        sign: 1 or -1.
        number: The number.
        name: The name's pieces, `*` for any.
    """

    sign: int
    number: float = 0.0
    name: tuple[str, ...] = ()

    def bound(self, values: tuple[str, ...]) -> Term:
        """Return the term whose stars are these values, in order."""
        stars = iter(values)
        return Term(self.sign, self.number, tuple(next(stars) if piece == "*" else piece for piece in self.name))


class Verdict(msgspec.Struct, frozen=True):
    """Whether a rule holds, and its values.

    Args:
        rule: The rule's text.
        holds: Whether it does.
        left: The value of the left side; None if there was nothing to decide.
        right: The value of the right side.
        why: Why there was nothing to decide.
        where: Of a rule with `*`, the value for which it holds least.
        failed: For how many values it does not hold.
        of: How many values there are.
    """

    rule: str
    holds: bool
    left: float | None = None
    right: float | None = None
    why: str = ""
    where: str = ""
    failed: int = 0
    of: int = 0

    def __str__(self) -> str:
        if self.left is None or self.right is None:
            return f"{self.rule}: holds, {self.why}"
        values = f"{self.left:.6g} against {self.right:.6g}"
        if not self.holds and self.distance > 0:
            values += f", off by {self.distance:.3g}"
        if not self.of:
            return f"{self.rule}: {'holds' if self.holds else 'does not hold'} ({values})"
        what = f"holds for all {self.of}" if self.holds else f"does not hold for {self.failed} of {self.of}"
        return f"{self.rule}: {what}, {'least' if self.holds else 'worst'} for {self.where} ({values})"

    @property
    def distance(self) -> float:
        """How far apart the values are, NaN where one is."""
        return math.nan if self.left is None or self.right is None else abs(self.left - self.right)


class Rule(msgspec.Struct, frozen=True):
    """A comparison of two sums."""

    text: str
    left: tuple[Term, ...]
    comparison: str
    right: tuple[Term, ...]

    @property
    def names_champion(self) -> bool:
        """Whether it compares with the champion."""
        return bool(self._roots & {"champion", "compare"})

    @property
    def _roots(self) -> set[str]:
        return {term.name[0] for term in (*self.left, *self.right) if term.name}

    def _undecided(self, metrics: Mapping[str, Any], champion: Mapping[str, Any] | None) -> bool:
        """Return whether there is no champion. Raise `DataError` if nothing says so."""
        if "compare" in self._roots and not metrics.get("compare"):
            if "compare" not in metrics and champion is None:
                hint = 'Give the step evaluate champion = "models:/NAME@champion".'
                raise DataError(f"rule {self.text!r}: the model was not compared with a champion", hint=hint)
            return champion is None
        return "champion" in self._roots and champion is None

    def judge(self, metrics: Mapping[str, Any], champion: Mapping[str, Any] | None, *, exempt: str = "") -> Verdict:
        """Return whether the rule holds. A NaN fulfils no rule. Raise `DataError` if a name is not a number of the metrics.

        A list counts as its length. A rule with `*` is judged for each value that the first such name has.

        Args:
            metrics: The candidate's metrics.
            champion: The champion's metrics, or None.
            exempt: Why a rule about the champion has nothing to decide, else empty.
        """
        if self.names_champion and (exempt or self._undecided(metrics, champion)):
            return Verdict(self.text, holds=True, why=exempt or "there is no champion")
        starred = next((term.name for term in (*self.left, *self.right) if "*" in term.name), None)
        if starred is None:
            return _verdict(self, metrics, champion)
        if starred[:1] + starred[2:3] == ("robustness", "*") and metrics.get("robustness", {}).get(starred[1]) == {}:
            return Verdict(self.text, holds=True, why="no column can be disturbed in this way")
        values = _values_at(starred, metrics, champion, self.text)
        return self._least([(", ".join(each), _verdict(self._bound(each), metrics, champion)) for each in values])

    def _bound(self, values: tuple[str, ...]) -> Rule:
        left, right = (tuple(term.bound(values) for term in side) for side in (self.left, self.right))
        return Rule(self.text, left, self.comparison, right)

    def _least(self, verdicts: list[tuple[str, Verdict]]) -> Verdict:
        """Return the verdict of the value that fails by most, or holds by least."""
        failed = [each for each in verdicts if not each[1].holds]

        def slack(each: tuple[str, Verdict]) -> float:
            distance = -math.inf if math.isnan(each[1].distance) else each[1].distance
            return distance if each[1].holds else -distance

        where, least = min(failed or verdicts, key=slack)
        return msgspec.structs.replace(least, where=where, failed=len(failed), of=len(verdicts))


def _verdict(rule: Rule, metrics: Mapping[str, Any], champion: Mapping[str, Any] | None) -> Verdict:
    """Return the verdict on a rule whose names are taken as they stand: a group may be called `*`."""
    left, right = (_total(side, metrics, champion, rule.text) for side in (rule.left, rule.right))
    holds = not (math.isnan(left) or math.isnan(right)) and _COMPARISONS[rule.comparison](left, right)
    return Verdict(rule.text, holds, left, right)


def parse_rule(text: str) -> Rule:
    """Parse a rule. Raise `UsageError` with the position of the fault."""
    tokens = list(_tokens(text))
    comparisons = [index for index, (kind, _) in enumerate(tokens) if kind == "comparison"]
    if len(comparisons) != 1:
        raise UsageError(f"rule {text!r} must have one comparison", hint=_HINT)
    at = comparisons[0]
    rule = Rule(text.strip(), _terms(tokens[:at], text), tokens[at][1], _terms(tokens[at + 1 :], text))
    stars = {term.name.count("*") for term in (*rule.left, *rule.right)} - {0}
    if len(stars) > 1:
        raise UsageError(f"rule {text!r} has names with {min(stars)} and with {max(stars)} stars", hint=_STARS)
    return rule


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
            if kind == "number" and math.isinf(float(word)):
                raise UsageError(f"rule {text!r}: {word} is no finite number", hint=_HINT)
            terms.append(Term(sign, number=float(word)) if kind == "number" else Term(sign, name=_pieces(word)))
            sign, due = 1, False
        else:
            raise UsageError(f"rule {text!r}: {word!r} needs a + or - before it", hint=_HINT)
    if due:
        raise UsageError(f"rule {text!r} lacks a number or a name", hint=_HINT)
    return tuple(terms)


def _total(terms: tuple[Term, ...], metrics: Mapping[str, Any], champion: Mapping[str, Any] | None, text: str) -> float:
    return sum(term.sign * (_find(term.name, metrics, champion, text) if term.name else term.number) for term in terms)


def _pieces(name: str) -> tuple[str, ...]:
    return tuple(match[1] or match[2] or "" for match in _PIECE.finditer(name))


def _source(
    name: tuple[str, ...], metrics: Mapping[str, Any], champion: Mapping[str, Any] | None
) -> tuple[dict[tuple[str, ...], float], tuple[str, ...], str]:
    """Return the numbers among which a name is looked up, its path in them, and whose they are."""
    if name[0] == "champion":
        return dict(_numbers(champion)), name[1:], "the champion's metrics"
    return dict(_numbers(metrics)), name, "the metrics"


def _values_at(
    name: tuple[str, ...], metrics: Mapping[str, Any], champion: Mapping[str, Any] | None, text: str
) -> list[tuple[str, ...]]:
    """Return what the stars of a name stand for."""
    numbers, path, whose = _source(name, metrics, champion)
    at = [index for index, piece in enumerate(path) if piece == "*"]
    fits = [
        each
        for each in numbers
        if len(each) == len(path) and all(piece in ("*", own) for piece, own in zip(path, each, strict=True))
    ]
    if not fits:
        raise DataError(f"rule {text!r}: {'.'.join(path)!r} fits no number of {whose}", hint=_nearest(path, numbers))
    return [tuple(each[index] for index in at) for each in fits]


def _find(name: tuple[str, ...], metrics: Mapping[str, Any], champion: Mapping[str, Any] | None, text: str) -> float:
    numbers, path, whose = _source(name, metrics, champion)
    if path in numbers:
        return numbers[path]
    dotted = {".".join(each): value for each, value in numbers.items()}  # a value such as 1.5 has a dot of its own
    if ".".join(path) not in dotted:
        what = ".".join(path)
        raise DataError(f"rule {text!r}: {what!r} is not a number of {whose}", hint=_nearest(path, numbers))
    return dotted[".".join(path)]


def _nearest(path: tuple[str, ...], numbers: Mapping[tuple[str, ...], float]) -> str:
    """Return a hint with the nearest name; where none is near, with the names that share most pieces with it."""
    names = {_written(each): each for each in numbers}
    hint = nearest(_written(path), names)
    if len(names) <= _MOST or not hint.startswith("Known"):
        return hint
    shared = {name: len({*path} & {*each}) + (path[-1:] == each[-1:]) for name, each in names.items()}
    word, akin = "Near it", [name for name, count in shared.items() if count == max(shared.values())]
    if len(akin) > _MOST:
        word, akin = "Known", list(dict.fromkeys(each[0] + ".…" * (len(each) > 1) for each in numbers))
    return f"{word}: {', '.join(akin)}. `mlopsfw runs get RUN/STEP.metrics` prints all."


def _written(path: tuple[str, ...]) -> str:
    """Return a name as a rule writes it."""
    return ".".join(piece if _BARE.fullmatch(piece) else f'"{piece}"' for piece in path)


def _numbers(tree: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float]]:
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            yield from _numbers(value, (*above, str(name)))
    elif isinstance(tree, list | tuple):
        yield above, float(len(tree))
    elif isinstance(tree, int | float) and not isinstance(tree, bool):
        yield above, float(tree)
