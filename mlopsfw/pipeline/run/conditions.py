"""The filter of a list of runs: words that a run holds, and conditions such as `loss<0.5`. `page.js` of the page of a list does the same."""

from __future__ import annotations

import operator
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.pages.values import text_of_value

Record = Mapping[str, Any]

_SIGN = r"<=|>=|!=|==|<|>|="
_CONDITION = re.compile(rf"([^<>=!]+)({_SIGN})([^<>=!].*)", re.DOTALL)
_PART = re.compile(rf"^(?:{_SIGN})|(?:{_SIGN})$|[^<>=!](?:{_SIGN})[<>=!]")
_BLANKS = re.compile(rf"""("[^"]*"|'[^']*')|\s*({_SIGN})\s*""")
_MOST = 20  # names in a message
_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
}


def filtered(records: Iterable[Record], where: str) -> list[dict[str, Any]]:
    """Return the records that meet every word and condition of a filter, in their order.

    Args:
        records: Runs, as `mlopsfw.pipeline.run.search.search` returns them.
        where: Words and conditions between blanks, or `and` beside a condition; quotes hold blanks together. A word is met by a run one of whose values holds
            it, upper and lower case alike. A condition is `COLUMN<VALUE`, or has <=, >, >=, =, == or !=; a column may be named without
            `metrics.` or `params.` and the step. Numbers are compared as numbers, anything else as text, and a run without a value meets
            none.

    Raises:
        UsageError: No run has such a column, a condition lacks its column or value, a quote is not closed, or `or` stands beside a condition.
    """
    try:
        words = shlex.split(_BLANKS.sub(lambda each: each[1] or each[2], where))
    except ValueError as error:
        raise UsageError(f"the filter {where!r} cannot be read: {error}", hint="Close the quote.") from None
    runs = [dict(record) for record in records]
    columns = dict.fromkeys(name for record in runs for name in record)
    tests = [_test(word, list(columns)) for word in _joined(words)] if runs else []
    return [record for record in runs if all(test(record) for test in tests)]


def _joined(words: list[str]) -> list[str]:
    """Return the words without each `and` beside a condition. Raise `UsageError` for an `or` there."""
    kept = []
    for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
        beside = _CONDITION.fullmatch(before) or _CONDITION.fullmatch(after)
        if beside and word.lower() == "or":
            raise UsageError("a filter knows no 'or'", hint="Each run meets all of its conditions: ask twice.")
        if not (beside and word.lower() == "and"):
            kept.append(word)
    return kept


def _test(word: str, columns: list[str]) -> Callable[[Record], bool]:
    parts = _CONDITION.fullmatch(word)
    if parts is None and _PART.search(word):
        raise UsageError(f"{word!r} is no condition", hint="Write, for instance, loss<0.5 or optimizer=adam.")
    if parts is None:
        low = word.lower()
        return lambda record: any(low in text_of_value(value).lower() for value in record.values())
    named, sign, wanted = parts.groups()
    column = next((each for each in columns if each == named or each.endswith(f".{named}")), None)
    if column is None:
        raise UsageError(f"no run has {named!r}", hint=_near(named, columns))
    return lambda record: _meets(record.get(column), _TESTS[sign], wanted)


def _near(named: str, columns: list[str]) -> str:
    """Return the nearest name, whole or its end; else the first ends. A run of many steps has hundreds of columns."""
    hint = nearest(named, columns)
    if hint.startswith("Known"):
        hint = nearest(named, ends := list(dict.fromkeys(each.rpartition(".")[2] for each in columns)))
        if hint.startswith("Known") and len(ends) > _MOST:
            return f"Known: {', '.join(ends[:_MOST])} and {len(ends) - _MOST} more, which --json of the list shows."
    return hint


def _meets(value: Any, test: Callable[[Any, Any], bool], wanted: str) -> bool:
    if value is None:
        return False
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(ValueError):
            return test(value, float(wanted))
    return test(text_of_value(value), wanted)
