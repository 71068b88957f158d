"""What doctor asks of registered models."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mlopsfw.kernel.roles.check import Check

if TYPE_CHECKING:
    from mlopsfw.models.objectives import Objectives
    from mlopsfw.models.registry.catalog import Registry


def checks(registry: Callable[[], Registry], objectives: Callable[[], Objectives]) -> tuple[Check, ...]:
    """Return the checks."""
    about = "Every champion meets the objectives that are due"
    return (Check("objectives", about, lambda: objectives().diagnoses(registry())),)
