"""`doctor`: asks every component's checks, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.kernel.base.errors import MlopsfwError, text_of
from mlopsfw.kernel.plugins.blame import blame_of
from mlopsfw.kernel.roles.check import Check, Diagnosis
from mlopsfw.operations.installation import missing_tables

if TYPE_CHECKING:
    from mlopsfw.kernel.component import Component


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One answer, with the check that gave it."""

    check: str
    level: str
    message: str
    hint: str = ""


class Doctor:
    """Asks all checks of a project.

    Args:
        components: Contribute the checks.
    """

    def __init__(self, components: Sequence[Component]) -> None:
        self._components = components

    def checks(self) -> list[Check]:
        """Return the checks in the order of the components, the thorough ones last."""
        checks = (check for component in self._components for check in component.checks)
        return sorted(checks, key=lambda check: check.thorough)

    def examine(self, *, verify: bool = False) -> Iterator[Finding]:
        """Ask every check; one that cannot be answered is itself an error.

        Args:
            verify: Whether to ask the thorough ones too.
        """
        for check in self.checks():
            if verify or not check.thorough:
                yield from _answers(check)


def _answers(check: Check) -> Iterator[Finding]:
    try:
        answers = list(check.ask())
    except Exception as error:  # noqa: BLE001 - one check must not keep the others from being asked
        typed = missing_tables(error) or error
        hint = typed.hint if isinstance(typed, MlopsfwError) else ""
        message = typed.message if isinstance(typed, MlopsfwError) else text_of(typed)
        message = "; ".join(filter(None, (message, blame_of(typed))))
        answers = [Diagnosis("error", message, hint)]
    if any(answer.level == "error" for answer in answers):
        answers = [answer for answer in answers if answer.level != "ok"]  # all is well: not where something is wrong
    for answer in answers or [Diagnosis("ok", "nothing to say")]:
        yield Finding(check=check.name, level=answer.level, message=answer.message, hint=answer.hint)
