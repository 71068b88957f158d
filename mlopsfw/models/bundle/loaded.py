"""`LoadedBundle`: a verified bundle with its model in memory. Imports only NumPy and the runtime of the format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.features import FeaturePlan
from mlopsfw.kernel.base.errors import BundleError
from mlopsfw.models.bundle.files import PLAN, PROFILE, read_listed, read_manifest, verify_files

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa

    from mlopsfw.kernel.roles.bundle import Manifest, Predictor, Runtime

_LONGEST_PROFILE = 256 << 20
_AT_ONCE = 1 << 16  # rows to score at a time, if there are many


class LoadedBundle:
    """Implements `mlopsfw.roles.Bundle`. Thread-safe if its runtime is.

    Args:
        folder: Its folder.
        manifest: `bundle.json`.
        plan: What makes features of rows.
        predictor: The loaded model.
    """

    def __init__(self, folder: Path, manifest: Manifest, plan: FeaturePlan, predictor: Predictor) -> None:
        self.folder, self.manifest, self.plan = folder, manifest, plan
        self._predictor = predictor

    def predict(self, columns: Mapping[str, Any]) -> Mapping[str, np.ndarray]:
        """Score rows, given as columns by input name (lists, NumPy or Arrow arrays, Polars series). Ignores other columns.

        Raises:
            SignatureMismatch: A column is missing or holds what it cannot; names column and row.
        """
        return self._predictor.predict(self.plan.numpy(columns))

    def predict_table(self, rows: pl.DataFrame | pa.Table) -> Mapping[str, np.ndarray]:
        """Score the rows of a table by Polars, with the same outputs as `predict`. Any column may hold nulls.

        Raises:
            SignatureMismatch: A column is missing or has another type.
        """
        import numpy as np

        from mlopsfw.features.tables import as_frame

        frame = as_frame(rows)
        parts = [self._predictor.predict(self.plan.polars(part)) for part in frame.iter_slices(_AT_ONCE)]
        parts = parts or [self._predictor.predict(self.plan.polars(frame))]
        return {name: np.concatenate([part[name] for part in parts]) for name in self.manifest.outputs}

    def profile(self) -> dict[str, Any]:
        """Return the training profile: column → `mlopsfw_core.Reference` as a dict, outputs included."""
        data = read_listed(self.folder, self.manifest, PROFILE, _LONGEST_PROFILE)
        try:
            return msgspec.json.decode(data, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError) as error:
            raise BundleError(f"{self.folder / PROFILE} cannot be read: {error}") from None


def load(folder: Path, runtimes: Callable[[str], Runtime]) -> LoadedBundle:
    """Return the bundle in `folder`; see `mlopsfw.models.bundle.open_bundle`."""
    from mlopsfw.models.bundle.golden import replay

    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    bundle = load_unproven(folder, manifest, runtimes)
    replay(bundle)
    return bundle


def load_unproven(folder: Path, manifest: Manifest, runtimes: Callable[[str], Runtime]) -> LoadedBundle:
    """Return a bundle whose files are already verified, without replaying its golden rows."""
    plan = FeaturePlan.from_json(read_listed(folder, manifest, PLAN))
    if plan.inputs != manifest.inputs:
        raise BundleError(f"{folder}: the feature plan does not take the manifest's inputs")
    best = next(iter(manifest.formats))
    return LoadedBundle(folder, manifest, plan, runtimes(best).load(folder, manifest))
