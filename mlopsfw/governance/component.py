"""What governance says of itself: whether every erasure is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mlopsfw.kernel.component import Component
from mlopsfw.kernel.roles.check import Check

if TYPE_CHECKING:
    from mlopsfw.governance.forget import Erasures


def component(erasures: Callable[[], Erasures]) -> Component:
    """Return the component; the erasures are asked for when it is used."""
    check = Check("erasures", "What was to be erased is erased", lambda: erasures().diagnose())
    return Component(name="governance", checks=(check,))
