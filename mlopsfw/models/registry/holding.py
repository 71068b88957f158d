"""Models that learned from people's rows. Erasure does not change them, but names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopsfw.kernel.component import Held

if TYPE_CHECKING:
    from mlopsfw.kernel.component import ErasureScope


class ModelHolding:
    """Implements `mlopsfw.kernel.component.Holding`. Runs after datasets, which say where the rows were."""

    def find(self, scope: ErasureScope) -> Held:
        """Return the model versions made from data that held the rows."""
        made = scope.descendants(sorted(scope.affected))
        return Held({"models": sorted(ref for ref in made if ref.startswith("models:/"))})

    def erase(self, scope: ErasureScope) -> Held:
        """Return the result of `find`: a model cannot unlearn a row."""
        return self.find(scope)
