"""`LoadedBundle`: a verified bundle with its model in memory. Imports only NumPy and the runtime of the format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.features.signature import Signature
from mlopsfw.kernel.base.errors import AnswerMismatch, BundleError, UsageError
from mlopsfw.kernel.plugins.blame import blame_built
from mlopsfw.models.bundle.answers import Answers
from mlopsfw.models.bundle.files import CALIBRATION, PLAN, PROFILE, read_listed, read_manifest, verify_files

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa

    from mlopsfw.features import FeaturePlan
    from mlopsfw.kernel.roles.bundle import Manifest, Model, Runtime
    from mlopsfw.models.bundle.calibrated import Calibration
    from mlopsfw.models.bundle.shapley import Sampled

_LONGEST_PROFILE = 256 << 20
_AT_ONCE = 1 << 16  # rows to score at a time, if there are many


class LoadedBundle:
    """Implements `mlopsfw.roles.Bundle`. Thread-safe if its runtime is.

    Args:
        folder: Its folder.
        manifest: `bundle.json`.
        model: The loaded model.
        name: What errors call the model; by default its folder.
    """

    def __init__(self, folder: Path, manifest: Manifest, model: Model, name: str = "") -> None:
        self.folder, self.manifest = folder, manifest
        self._model, self._signature = model, Signature(manifest.inputs)
        self._answers = Answers(manifest.outputs, name or f"the model in {folder}")

    def predict(self, columns: Mapping[str, Any]) -> Mapping[str, np.ndarray]:
        """Score rows, given as columns by input name (lists, NumPy or Arrow arrays, Polars series). Ignores other columns.

        Raises:
            SignatureMismatch: A column is missing or holds what it cannot; the message names column and row.
            AnswerMismatch: The model answers what its manifest does not declare; names output and row.
        """
        return self._answer(self._signature.arrays(columns))

    def predict_uncertain(self, columns: Mapping[str, Any], alpha: float) -> dict[str, np.ndarray]:
        """Score rows as `predict` does, with intervals or sets that miss the truth in at most `alpha` of them beside the outputs.

        `<output>.low` and `<output>.high` are float64 `[rows]`, `<output>.set` is bool `[rows, classes]`. Raise `UsageError` where the bundle
        holds no calibration, or has too few rows for so small an alpha.
        """
        from mlopsfw.models.bundle.calibrated import calibrated, uncertainty

        if self.calibration is None:
            raise UsageError(
                "the model has no intervals: alpha was asked for, and nothing is calibrated",
                hint='Add a step with use = "calibrate" after train, and register what it makes.',
            )
        arrays = self._signature.arrays(columns)
        raw = self._raw(arrays)
        outputs = calibrated(self.calibration.map, self.manifest, raw)
        return {**outputs, **uncertainty(self.calibration.conformal, self.manifest, arrays, raw, alpha)}

    def explain(self, columns: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return what each input contributes to the answers to rows, given as for `predict`, and under an empty name what all have in common.

        They add up to the model's sum before its link, and before any calibration: log odds of the second class `[rows]`, or a logit of each
        class `[rows, classes]`; of most regressions the value. A runtime may compute them itself; else they are sampled (`shapley`). Raise
        `UsageError` where the task has no such sum, `AnswerMismatch` where the runtime returns something else.
        """
        import numpy as np

        arrays, names = self._signature.arrays(columns), ["", *(each.name for each in self.manifest.inputs)]
        rows = len(next(iter(arrays.values()), ()))
        explain = getattr(self._model, "explain", None) or self._sampled.explain
        if not rows:
            return {name: np.empty(0) for name in names}
        try:
            return self._answers.explained(explain(arrays), names, rows)
        except AnswerMismatch as error:
            blame_built(self._model, error, "explain")
            raise

    @cached_property
    def _sampled(self) -> Sampled:
        from mlopsfw.models.bundle.background import background
        from mlopsfw.models.bundle.shapley import Sampled

        return Sampled(self.manifest, self._raw, self._signature.arrays(background(self)))

    def predict_table(self, rows: pl.DataFrame | pa.Table) -> Mapping[str, np.ndarray]:
        """Score the rows of a table, with the same outputs as `predict`. Any column may hold nulls.

        Raises:
            SignatureMismatch: A column is missing or has another type.
            AnswerMismatch: As `predict`.
        """
        import numpy as np

        from mlopsfw.features.tables import as_frame, table_arrays

        frame = as_frame(rows)
        slices = [*frame.iter_slices(_AT_ONCE)] or [frame]
        parts = [self._answer(table_arrays(part, self.manifest.inputs)) for part in slices]
        return {column.name: np.concatenate([part[column.name] for part in parts]) for column in self.manifest.outputs}

    def _answer(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        raw = self._raw(arrays)
        if self.calibration is None:
            return raw
        from mlopsfw.models.bundle.calibrated import calibrated

        return calibrated(self.calibration.map, self.manifest, raw)

    def _raw(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        answer = self._model.predict(arrays)
        try:
            return self._answers.checked(answer, len(next(iter(arrays.values()), ())))
        except AnswerMismatch as error:
            blame_built(self._model, error, "predict")
            raise

    @cached_property
    def calibration(self) -> Calibration | None:
        """What makes the model's probabilities true, and its intervals; None where it is not calibrated."""
        if CALIBRATION not in self.manifest.files:
            return None
        from mlopsfw.models.bundle.calibrated import read_calibration

        return read_calibration(self.folder, self.manifest)

    @cached_property
    def plan(self) -> FeaturePlan | None:
        """The feature plan that the runtime applies; None where the model has none."""
        if PLAN not in self.manifest.files:
            return None
        from mlopsfw.features import FeaturePlan

        return FeaturePlan.from_json(read_listed(self.folder, self.manifest, PLAN))

    def profile(self) -> dict[str, Any]:
        """Return the training profile: column → `mlopsfw_core.Reference` as a dict, outputs included."""
        data = read_listed(self.folder, self.manifest, PROFILE, _LONGEST_PROFILE)
        try:
            return msgspec.json.decode(data, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError) as error:
            raise BundleError(f"{self.folder / PROFILE} cannot be read: {error}") from None


def load(folder: Path, runtimes: Callable[[str], Runtime], name: str = "") -> LoadedBundle:
    """Return the bundle in `folder`; see `mlopsfw.models.bundle.open_bundle`."""
    from mlopsfw.models.bundle.golden import replay

    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    bundle = load_unproven(folder, manifest, runtimes, name)
    replay(bundle)
    return bundle


def load_unproven(folder: Path, manifest: Manifest, runtimes: Callable[[str], Runtime], name: str = "") -> LoadedBundle:
    """Return a bundle whose files are already verified, without replaying its golden rows."""
    best = next(iter(manifest.formats))
    bundle = LoadedBundle(folder, manifest, runtimes(best).load(folder, manifest), name)
    if bundle.plan is not None and bundle.plan.inputs != manifest.inputs:
        raise BundleError(f"{folder}: the feature plan does not take the manifest's inputs")
    return bundle
