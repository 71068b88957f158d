"""The component `operations`: the checks of `mlopsfw doctor` that concern no domain."""

from __future__ import annotations

from mlopsfw.kernel.component import Component
from mlopsfw.operations.checks import Installation, Store, checks


def component(store: Store, project: Installation) -> Component:
    """Return the component. It reads its arguments only when it is used."""
    return Component(name="operations", checks=checks(store, project))
