"""The baseline that a window is compared with: the profile in the model's bundle or of a dataset, and the metrics at evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.roles.monitoring import Baseline
from mlopsfw.models.bundle.profile import WITHOUT_STATISTICS
from mlopsfw.models.bundle.stored import stored_manifest, stored_profile

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.data.datasets.store import VersionStore
    from mlopsfw.kernel.roles.bundle import Manifest
    from mlopsfw.kernel.store.blobs import BlobStore
    from mlopsfw.models.registry import Registry
    from mlopsfw.monitoring.reasons import Reasons


class Baselines:
    """The baselines of registered models.

    Args:
        blobs: Holds their bundles.
        models: The registered models.
        datasets: The datasets that monitors may compare with.
        reasons: Explains the answers of a window and of its reference.
    """

    def __init__(self, blobs: BlobStore, models: Registry, datasets: VersionStore, reasons: Reasons) -> None:
        self.reasons = reasons
        self._blobs, self._models, self._datasets = blobs, models, datasets
        self._fitted: dict[tuple[str, str], dict[str, Any]] = {}

    def of(self, model: str, version: int, reference: str = "") -> Baseline:
        """Return the baseline of a model version, read from its bundle's blobs without loading the model.

        Args:
            model: The model.
            version: Its version.
            reference: The dataset whose rows the profile describes; the training data where it is empty. Columns that the training
                profile does not have are left out, and so are those that the dataset does not have.

        Raises:
            UnknownName: There is no such version, or no such dataset.
            NotFound, Corrupt: The bundle's blobs are gone or altered.
        """
        registered = self._models.model(model).get(str(version))
        manifest = stored_manifest(self._blobs, registered.bundle)
        trained = stored_profile(self._blobs, registered.bundle)
        return Baseline(
            profile=self._profile(trained, registered.bundle, reference),
            unprofiled=_unprofiled(manifest, trained),
            task=manifest.task,
            target=manifest.target,
            outputs=tuple(output.name for output in manifest.outputs),
            classes=manifest.classes,
            importance=_numbers(manifest.facts.get("importance")),
            metrics=_numbers(registered.metrics),
        )

    def _profile(self, trained: dict[str, Any], bundle: str, reference: str) -> dict[str, Any]:
        if not reference:
            return trained
        dataset = self._datasets.resolve(reference)
        key = bundle, f"{dataset.name}@{dataset.version}"
        if key not in self._fitted:
            self._fitted[key] = _fit(self._datasets.scan(dataset), trained)
        return self._fitted[key]


def _unprofiled(manifest: Manifest, profile: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the inputs and outputs whose type has no statistics. A tensor with one value a class has those of each class."""
    by_class = {name.partition("[")[0] for name in profile}
    columns = (*manifest.inputs, *manifest.outputs)
    return tuple(column.name for column in columns if column.type in WITHOUT_STATISTICS and column.name not in by_class)


def _fit(rows: pl.LazyFrame, trained: Mapping[str, Any]) -> dict[str, Any]:
    """Return the profile of a dataset's columns, each of the kind that it had in training."""
    from mlopsfw_core import Reference

    names = [name for name in rows.collect_schema().names() if name in trained]
    frame = rows.select(names).collect(engine="streaming")
    kinds = {name: Reference.from_dict(trained[name]).kind for name in names}
    return {name: Reference.fit(frame[name], kinds[name], name=name).to_dict() for name in names}


def _numbers(facts: Any) -> dict[str, float]:
    """Return the numbers at the top level. Nested metrics (of baselines, of segments) are not the model's own."""
    return {k: float(v) for k, v in (facts or {}).items() if isinstance(v, int | float) and not isinstance(v, bool)}
