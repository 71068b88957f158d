"""`Check`: one question that `mlopsfw doctor` asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.host import Host


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
        run: Asks it; yields nothing when there is nothing to say.
    """

    name: str
    summary: str
    run: Callable[[Host], Iterable[Diagnosis]]
