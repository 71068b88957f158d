"""The component `governance`: its events, and its checks on people."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from mlopsfw.governance.checks import checks
from mlopsfw.governance.events import EVENTS
from mlopsfw.kernel.component import Component

if TYPE_CHECKING:
    from mlopsfw.governance.forget import Erasures
    from mlopsfw.governance.people import People
    from mlopsfw.kernel.component import Holding


def component(
    erasures: Callable[[], Erasures], people: Callable[[], People], holdings: Callable[[], Iterable[Holding]]
) -> Component:
    """Return the component. It reads its arguments only when it is used."""
    return Component(name="governance", events=EVENTS, checks=checks(erasures, people), holdings=holdings)
