"""The component `operations`: the checks of `mlopsfw doctor` that concern no domain, and the scratch of killed processes."""

from __future__ import annotations

from mlopsfw.kernel.component import Component
from mlopsfw.operations.checks import Installation, Store, checks
from mlopsfw.operations.scratch import ScratchHolding


def component(store: Store, project: Installation) -> Component:
    """Return the component. It reads its arguments only when it is used."""
    return Component(
        name="operations", checks=checks(store, project), holdings=lambda: (ScratchHolding(project.workspace),)
    )
