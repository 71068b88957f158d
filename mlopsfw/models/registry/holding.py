"""Models that learned from rows of people. They are left as they are, and named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopsfw.kernel.component import Held

if TYPE_CHECKING:
    from mlopsfw.kernel.component import ErasureScope


class ModelHolding:
    """Implements `mlopsfw.kernel.component.Holding`. It is asked after datasets, which say what held the rows."""

    def find(self, scope: ErasureScope) -> Held:
        """Return the model versions that were made from what held the rows."""
        made = scope.descendants(sorted(scope.affected))
        return Held({"models": sorted(ref for ref in made if ref.startswith("models:/"))})

    def erase(self, scope: ErasureScope) -> Held:
        """Return what `find` does: a model cannot unlearn a row."""
        return self.find(scope)
