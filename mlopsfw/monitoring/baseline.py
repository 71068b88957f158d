"""The baseline that a window is compared with: the profile in the model's bundle, and the metrics at evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.roles.monitoring import Baseline
from mlopsfw.models.bundle.stored import stored_manifest, stored_profile

if TYPE_CHECKING:
    from mlopsfw.kernel.store.blobs import BlobStore
    from mlopsfw.models.registry import Registry


class Baselines:
    """The baselines of registered models.

    Args:
        blobs: Holds their bundles.
        models: The registered models.
    """

    def __init__(self, blobs: BlobStore, models: Registry) -> None:
        self._blobs, self._models = blobs, models

    def of(self, model: str, version: int) -> Baseline:
        """Return the baseline of a model version, read from its bundle's blobs without loading the model.

        Raises:
            UnknownName: There is no such version.
            NotFound, Corrupt: The bundle's blobs are gone or altered.
        """
        registered = self._models.resolve(f"models:/{model}@{version}")
        manifest = stored_manifest(self._blobs, registered.bundle)
        return Baseline(
            profile=stored_profile(self._blobs, registered.bundle),
            task=manifest.task,
            target=manifest.target,
            outputs=manifest.outputs,
            classes=manifest.classes,
            importance=_numbers(manifest.facts.get("importance")),
            metrics=_numbers(registered.metrics),
        )


def _numbers(facts: Any) -> dict[str, float]:
    """Return the numbers at the top level. Nested metrics (of baselines, of segments) are not the model's own."""
    return {k: float(v) for k, v in (facts or {}).items() if isinstance(v, int | float) and not isinstance(v, bool)}
