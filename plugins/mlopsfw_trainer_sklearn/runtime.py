"""Implements the runtime protocol by scikit-learn. The model comes from checked bytes, and every type in them from a fixed list."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from mlopsfw.errors import BundleError
from mlopsfw.roles import TASK_OUTPUTS, SignatureColumn, read_model
from mlopsfw_trainer_sklearn.frame import frame_of, outputs_of
from mlopsfw_trainer_sklearn.skops_file import NotAllowed, load

if TYPE_CHECKING:
    from mlopsfw.roles import Manifest, Model, TrainedModel, TrainingTask

FORMAT = "skops"
_TWO = 2


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

    def adopt(self, task: TrainingTask, model: TrainedModel, scratch: Path) -> tuple[TrainingTask, TrainedModel]:
        """Return task and model as the estimator says them. Raise `BundleError` for a type that is not in the list."""
        del scratch
        name = model.formats[FORMAT]
        try:
            estimator = load(model.files[name].read_bytes())
        except NotAllowed as error:
            raise BundleError(f"{name} cannot be loaded: {error}", hint="Export it as ONNX, by skl2onnx.") from error
        classes = model.classes or tuple(
            each.item() if isinstance(each, np.generic) else each for each in getattr(estimator, "classes_", ())
        )
        word = "multiclass" if len(classes) > _TWO else "binary" if classes else "regression"
        return msgspec.structs.replace(task, task=task.task or word), msgspec.structs.replace(
            model, inputs=_inputs(estimator, model.inputs), classes=classes
        )


def _inputs(estimator: Any, given: tuple[SignatureColumn, ...]) -> tuple[SignatureColumn, ...]:
    """Return the columns that an estimator reads, in its order. Without given ones each is a number."""
    names = [str(each) for each in getattr(estimator, "feature_names_in_", ())]
    if not names:
        count = int(getattr(estimator, "n_features_in_", 0))
        return given or tuple(SignatureColumn(name=f"x{at}", type="number") for at in range(count))
    by_name = {column.name: column for column in given} or {
        name: SignatureColumn(name=name, type="number") for name in names
    }
    if missing := [name for name in names if name not in by_name]:
        raise BundleError(f"the estimator reads the column {missing[0]!r}, which is not given")
    return tuple(by_name[name] for name in names)


class SkopsModel:
    """A loaded model. Estimators of the list do not change when they predict, so many threads may ask.

    Args:
        estimator: It is fitted.
        inputs: The signature.
        task: Names the output.
    """

    def __init__(self, estimator: Any, inputs: tuple[SignatureColumn, ...], task: str) -> None:
        self._estimator, self._inputs, self._task = estimator, inputs, task
        self._is_matrix = hasattr(estimator, "n_features_in_") and not hasattr(estimator, "feature_names_in_")

    def predict(self, columns: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Return the output for the rows of `columns`."""
        frame: Any = frame_of(columns, self._inputs)
        if self._is_matrix:
            frame = frame.to_numpy()
        answer = outputs_of(self._estimator, frame, self._task)
        return {TASK_OUTPUTS[self._task]: answer}
