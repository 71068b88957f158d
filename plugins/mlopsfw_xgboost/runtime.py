"""Implements the runtime protocol by XGBoost. The model comes from checked bytes: XGBoost itself opens no file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import xgboost

from mlopsfw.errors import BundleError
from mlopsfw.features.adopted import tree_columns
from mlopsfw.features.encoding import FILE, Encoding, by_column, matrix, output_of, read_encodings
from mlopsfw.roles import read_listed, read_model
from mlopsfw_xgboost.document import GENERIC, checked_document, described
from mlopsfw_xgboost.ubjson import decode, is_json

if TYPE_CHECKING:
    from mlopsfw.roles import Manifest, Model, TrainedModel, TrainingTask

FORMAT = "xgboost"

_LARGEST = float(np.finfo(np.float32).max)


class XgBoostRuntime:
    """Loads XGBoost's JSON files.

    Args:
        threads: Threads inside one prediction.
    """

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads

    def load(self, folder: Path, manifest: Manifest) -> Model:
        """Load the file that the manifest lists for `xgboost`, and the encoding beside it. Raise `BundleError`."""
        file = folder / manifest.formats.get(FORMAT, "")
        output = output_of(manifest, file)
        try:
            data, columns = checked_document(read_model(folder, manifest, FORMAT), manifest.task, len(manifest.classes))
            booster = xgboost.Booster({"nthread": self._threads}, model_file=bytearray(data))
        except (msgspec.DecodeError, ValueError, RecursionError, xgboost.core.XGBoostError) as error:
            raise BundleError(f"{file} is not a model that XGBoost can load: {error}") from error
        encodings = read_encodings(read_listed(folder, manifest, FILE), manifest, columns)
        return XgBoostModel(booster, encodings, output)

    def adopt(self, task: TrainingTask, model: TrainedModel, scratch: Path) -> tuple[TrainingTask, TrainedModel]:
        """Return task and model as the file says them, UBJ as JSON; a bundle keeps the encoding beside it. Raise `BundleError`."""
        name = model.formats[FORMAT]
        data = model.files[name].read_bytes()
        try:
            data = data if is_json(data) else msgspec.json.encode(decode(data))
            said = described(data)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise BundleError(f"{name} is not a model of XGBoost in JSON or UBJ: {error}") from error
        task = msgspec.structs.replace(task, task=task.task or said.task)
        inputs, encodings = tree_columns(said.columns, model.inputs, {}, GENERIC)
        files = {"model.json": scratch / "xgboost" / "model.json", FILE: scratch / "xgboost" / FILE}
        (scratch / "xgboost").mkdir()
        files["model.json"].write_bytes(data)
        files[FILE].write_bytes(msgspec.json.encode(encodings))
        count = {"binary": 2, "multiclass": said.classes}.get(task.task, 0)
        return task, msgspec.structs.replace(
            model,
            inputs=inputs,
            files=files,
            formats={FORMAT: "model.json"},
            classes=model.classes or tuple(range(count)),
        )


class XgBoostModel:
    """A loaded model. Its predictions may run in many threads.

    Args:
        booster: The trees.
        encodings: Of their columns, in order.
        output: The name of the output.
    """

    def __init__(self, booster: xgboost.Booster, encodings: tuple[Encoding, ...], output: str) -> None:
        self._booster, self._encodings, self._output = booster, encodings, output

    def predict(self, columns: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Return the output for the rows of `columns`."""
        return {self._output: predictions(self._booster, finite(matrix(self._encodings, columns)))}

    def explain(self, columns: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Return the SHAP values of the trees (Lundberg et al., 2020, TreeSHAP), as XGBoost computes them."""
        return by_column(self._encodings, contributions(self._booster, finite(matrix(self._encodings, columns))))


def finite(numbers: np.ndarray) -> np.ndarray:
    """Return numbers as XGBoost takes them: in place, what float32 cannot hold becomes the largest that it can. NaN stays."""
    return np.clip(numbers, -_LARGEST, _LARGEST, out=numbers)


def predictions(booster: xgboost.Booster, numbers: np.ndarray) -> np.ndarray:
    """Return the trees' answers as float64, one a row."""
    return np.asarray(booster.inplace_predict(numbers), dtype=np.float64)


def contributions(booster: xgboost.Booster, numbers: np.ndarray) -> np.ndarray:
    """Return what each column adds to the trees' sums, float64 `[rows, sums, columns + 1]`, the last one that of no column."""
    values = booster.predict(xgboost.DMatrix(numbers), pred_contribs=True, strict_shape=True, validate_features=False)
    return np.asarray(values, dtype=np.float64)
