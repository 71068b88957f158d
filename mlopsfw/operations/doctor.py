"""`doctor`: asks questions about a project, one after the other. The questions of the kernel are `mlopsfw.operations.checks`'."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from mlopsfw.kernel.base.errors import MlopsfwError, text_of
from mlopsfw.kernel.plugins.blame import blame_of
from mlopsfw.kernel.roles.check import Check, Diagnosis


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One answer, with the check that gave it."""

    check: str
    level: str
    message: str
    hint: str = ""


class Doctor:
    """Asks what there is to ask about a project.

    Args:
        questions: Returns the questions, in order.
    """

    def __init__(self, questions: Callable[[], Iterable[Check]]) -> None:
        self.questions = questions

    def examine(self, *, verify: bool = False) -> Iterator[Finding]:
        """Ask every question; one that cannot be answered is itself an error.

        Args:
            verify: Whether to ask the thorough ones too.
        """
        for question in self.questions():
            if verify or not question.thorough:
                yield from _answers(question)


def _answers(question: Check) -> Iterator[Finding]:
    try:
        answers = list(question.ask())
    except Exception as error:  # noqa: BLE001 - one check must not keep the others from being asked
        hint = error.hint if isinstance(error, MlopsfwError) else ""
        message = error.message if isinstance(error, MlopsfwError) else text_of(error)
        message = "; ".join(filter(None, (message, blame_of(error))))
        answers = [Diagnosis("error", message, hint)]
    if any(answer.level == "error" for answer in answers):
        answers = [answer for answer in answers if answer.level != "ok"]  # all is well: not where something is wrong
    for answer in answers or [Diagnosis("ok", "nothing to say")]:
        yield Finding(check=question.name, level=answer.level, message=answer.message, hint=answer.hint)
