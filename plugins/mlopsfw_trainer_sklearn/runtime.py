"""Implements the runtime protocol by scikit-learn. The model comes from checked bytes, and every type in them from a fixed list."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlopsfw.errors import BundleError
from mlopsfw.roles import TASK_OUTPUTS, read_model
from mlopsfw_trainer_sklearn.frame import frame_of, outputs_of
from mlopsfw_trainer_sklearn.skops_file import NotAllowed, load

if TYPE_CHECKING:
    from mlopsfw.roles import Manifest, Model, SignatureColumn

FORMAT = "skops"


class SkopsRuntime:
    """Loads files of skops."""

    def load(self, folder: Path, manifest: Manifest) -> Model:
        """Load the file that the manifest lists for `skops`. Raise `BundleError`."""
        file = folder / manifest.formats.get(FORMAT, "")
        declared = [output.name for output in manifest.outputs]
        if declared != [TASK_OUTPUTS.get(manifest.task)]:
            raise BundleError(
                f"{file}: the manifest declares {', '.join(declared)}, which no {manifest.task} model returns"
            )
        data = read_model(folder, manifest, FORMAT)
        try:
            estimator = load(data)
        except NotAllowed as error:
            raise BundleError(
                f"{file} cannot be loaded: {error}", hint="Train the model again with this version of mlopsfw."
            ) from error
        if not hasattr(estimator, "predict" if manifest.task == "regression" else "predict_proba"):
            raise BundleError(f"{file} holds a {type(estimator).__name__}, which is no {manifest.task} model")
        return SkopsModel(estimator, manifest.inputs, manifest.task)


class SkopsModel:
    """A loaded model. Estimators of the list do not change when they predict, so many threads may ask.

    Args:
        estimator: It is fitted.
        inputs: The signature.
        task: Names the output.
    """

    def __init__(self, estimator: Any, inputs: tuple[SignatureColumn, ...], task: str) -> None:
        self._estimator, self._inputs, self._task = estimator, inputs, task

    def predict(self, columns: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Return the output for the rows of `columns`."""
        answer = outputs_of(self._estimator, frame_of(columns, self._inputs), self._task)
        return {TASK_OUTPUTS[self._task]: answer}
