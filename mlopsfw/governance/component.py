"""What governance says of itself: whether every erasure is done, of subjects and of people who use the project."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mlopsfw.governance.events import EVENTS
from mlopsfw.kernel.component import Component
from mlopsfw.kernel.roles.check import Check

if TYPE_CHECKING:
    from mlopsfw.governance.forget import Erasures
    from mlopsfw.governance.people import People


def component(erasures: Callable[[], Erasures], people: Callable[[], People]) -> Component:
    """Return the component; erasures and people are asked for when it is used."""
    checks = (
        Check("erasures", "Every requested erasure is complete", lambda: erasures().diagnose()),
        Check("actors", "Forgotten people have no name any more", lambda: people().diagnose()),
    )
    return Component(name="governance", events=EVENTS, checks=checks)
