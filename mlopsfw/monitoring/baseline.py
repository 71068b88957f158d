"""What a window is compared with: the profile that lies in the model's bundle, and its metrics at evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.roles.monitoring import Baseline
from mlopsfw.models.bundle.stored import stored_manifest, stored_profile

if TYPE_CHECKING:
    from mlopsfw.project.facade import Project


def baseline_of(project: Project, model: str, version: int) -> Baseline:
    """Return the baseline of a model version, read from its bundle's blobs without loading the model.

    Raises:
        UnknownName: There is no such version.
        NotFound, Corrupt: The bundle's blobs are gone or altered.
    """
    registered = project.registry.resolve(f"models:/{model}@{version}")
    manifest = stored_manifest(project.blobs, registered.bundle)
    return Baseline(
        profile=stored_profile(project.blobs, registered.bundle),
        task=manifest.task,
        target=manifest.target,
        outputs=manifest.outputs,
        classes=manifest.classes,
        importance=_numbers(manifest.facts.get("importance")),
        metrics=_numbers(registered.metrics),
    )


def _numbers(found: Any) -> dict[str, float]:
    """Return what is a number at the top level; nested metrics (of baselines, of segments) are not the model's own."""
    return {k: float(v) for k, v in (found or {}).items() if isinstance(v, int | float) and not isinstance(v, bool)}
