"""The checks of `mlopsfw doctor` on people: erasures that were cut short, and names of forgotten people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mlopsfw.kernel.roles.check import Check, Diagnosis

if TYPE_CHECKING:
    from mlopsfw.governance.forget import Erasures
    from mlopsfw.governance.people import People


def checks(erasures: Callable[[], Erasures], people: Callable[[], People]) -> tuple[Check, ...]:
    """Return the checks."""
    return (
        Check("erasures", "Every requested erasure is complete", lambda: unfinished(erasures())),
        Check("actors", "Forgotten people have no name any more", lambda: restored(people())),
    )


def unfinished(erasures: Erasures) -> Iterator[Diagnosis]:
    """Look for erasures that were begun and not finished."""
    for erasure in erasures.unfinished():
        hint = "Run the same `mlopsfw data forget` again."
        yield Diagnosis("error", f"the erasure {erasure} was interrupted", hint)
    yield Diagnosis("ok", "every erasure is complete")


def restored(people: People) -> Iterator[Diagnosis]:
    """Look for forgotten people whom the directory names again."""
    for actor in people.restored():
        yield Diagnosis("error", f"{actor} was forgotten and has a name", f"Run `mlopsfw audit forget {actor}` again.")
    yield Diagnosis("ok", f"{len(people.everyone())} actors are in the directory")
