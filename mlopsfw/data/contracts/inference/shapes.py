"""The common form of texts as a pattern: a known one (an e-mail address, a date), runs of letters and digits, or letters and lengths."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_FEWEST = 20  # distinct texts; fewer may share a form by chance
_LONGEST = 64  # letters; longer texts are prose

KNOWN = {
    "uuid": r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "time": r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?",
    "date": r"\d{4}-\d{2}-\d{2}",
    "e-mail": r"[^@\s]+@[^@\s]+\.[^@\s]+",
    "web address": r"https?://\S+",
    "IPv4": r"\d{1,3}(\.\d{1,3}){3}",
}
"""Forms with a common name, the narrower first."""

_CLASSES = (("A-Z", str.isupper), ("a-z", str.islower), ("0-9", str.isdigit))


def find_pattern(sample: pl.Series) -> str:
    """Return a pattern that matches every text of a column, or nothing if they share no form."""
    import polars as pl

    texts = sample.cast(pl.String).drop_nulls().unique().sort().to_list()
    if len(texts) < _FEWEST or any(not text or len(text) > _LONGEST for text in texts):
        return ""
    for pattern in KNOWN.values():
        if all(re.fullmatch(pattern, text, re.ASCII) for text in texts):
            return pattern
    return _runs(texts) or _letters(texts)


def _class(letter: str) -> str:
    """Return the class of a letter. Any other character than an ASCII letter or digit represents itself."""
    if letter.isascii():
        return next((name for name, holds in _CLASSES if holds(letter)), letter)
    return ""


def _runs(texts: Sequence[str]) -> str:
    """Return a pattern of runs if every text has the same runs: `AB-1234` and `CD-99` are `[A-Z]{2}-[0-9]{2,}`."""
    split = [[(name, "".join(run)) for name, run in groupby(text, key=_class)] for text in texts]
    order = [name for name, _ in split[0]]
    if "" in order or any([name for name, _ in pieces] != order for pieces in split):
        return ""
    runs = [{pieces[index][1] for pieces in split} for index in range(len(order))]
    return "".join(_part(name, of) for name, of in zip(order, runs, strict=True))


def _part(name: str, runs: set[str]) -> str:
    """Return one run: the letters themselves if they are always the same."""
    if len(runs) == 1:
        return "".join(map(_escape, *runs))
    letters = f"[{name}]" if len(name) > 1 else _escape(name)
    lengths = set(map(len, runs))
    return letters + _times(min(lengths), max(lengths))


def _escape(letter: str) -> str:
    return re.escape(letter) if letter in r".^$*+?{}[]\|()" else letter


def _times(least: int, most: int) -> str:
    """Return the quantifier: exact if all lengths are equal, else without an upper end, since longer texts may come."""
    if least == most:
        return "" if least == 1 else f"{{{least}}}"
    return "+" if least == 1 else f"{{{least},}}"


def _letters(texts: Sequence[str]) -> str:
    """Return the letters that occur and their lengths, for codes such as tail numbers; nothing for words and prose."""
    used = {_class(letter) for text in texts for letter in text}
    plain = {name for name, _ in _CLASSES}
    if not used <= {*plain, "-", "_", ".", "/", ":"} or ("0-9" not in used and {"A-Z", "a-z"} <= used):
        return ""
    ordered = [name for name, _ in _CLASSES if name in used] + sorted(used - plain - {"-"}) + sorted(used & {"-"})
    least, most = (f(map(len, texts)) for f in (min, max))
    return f"[{''.join(ordered)}]{_times(least, most)}"
