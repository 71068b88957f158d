"""`Check`: one question that `mlopsfw doctor` asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One answer.

    Args:
        level: `ok`, `warning` or `error`.
        message: What was found.
        hint: What to do next.
    """

    level: Literal["ok", "warning", "error"]
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One question.

    Args:
        name: Short, unique, lower case.
        summary: One line for `doctor --list`.
        ask: Asks it; yields nothing when there is nothing to say.
        thorough: Whether it reads everything and is asked only by `--verify`.
    """

    name: str
    summary: str
    ask: Callable[[], Iterable[Diagnosis]]
    thorough: bool = False
