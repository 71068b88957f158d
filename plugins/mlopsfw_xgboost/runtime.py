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
from mlopsfw.features.encoding import FILE, Encoding, ascending, by_column, matrix, outputs_of, read_encodings
from mlopsfw.roles import read_listed, read_model
from mlopsfw_xgboost.document import GENERIC, OBJECTIVES, QUANTILE, checked_document, described
from mlopsfw_xgboost.ubjson import decode, is_json

if TYPE_CHECKING:
    from mlopsfw.roles import Manifest, Model, TrainedModel, TrainingTask

FORMAT = "xgboost"
QUANTILE_FILE = "{}.json"
"""The file of the trees that answer a quantile, by the name of the output."""

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
        outputs = outputs_of(manifest, file)
        data = read_model(folder, manifest, FORMAT)
        booster, columns = self._booster(data, OBJECTIVES[manifest.task], len(manifest.classes), file)
        encodings = read_encodings(read_listed(folder, manifest, FILE), manifest, columns)
        boosters = {outputs[0]: booster}
        for name in outputs[1:]:
            beside = QUANTILE_FILE.format(name)
            data = read_listed(folder, manifest, beside)
            boosters[name], read = self._booster(data, QUANTILE, 0, folder / beside)
            if read != columns:
                raise BundleError(f"{folder / beside} reads {read} columns, and {file} reads {columns}")
        return XgBoostModel(boosters, encodings)

    def _booster(self, data: bytes, objective: str, classes: int, file: Path) -> tuple[xgboost.Booster, int]:
        """Return the trees of a document, and how many columns they read. Raise `BundleError`."""
        try:
            checked, columns = checked_document(data, objective, classes)
            return xgboost.Booster({"nthread": self._threads}, model_file=bytearray(checked)), columns
        except (msgspec.DecodeError, ValueError, RecursionError, xgboost.core.XGBoostError) as error:
            raise BundleError(f"{file} is not a model that XGBoost can load: {error}") from error

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
        boosters: Output → its trees: the task's own, then quantiles in ascending order.
        encodings: Of their columns, in order.
    """

    def __init__(self, boosters: Mapping[str, xgboost.Booster], encodings: tuple[Encoding, ...]) -> None:
        self._boosters, self._encodings = boosters, encodings

    def predict(self, columns: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Return the outputs for the rows of `columns`."""
        numbers = finite(matrix(self._encodings, columns))
        main, *quantiles = (predictions(each, numbers) for each in self._boosters.values())
        return dict(zip(self._boosters, (main, *ascending(quantiles)), strict=True))

    def explain(self, columns: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Return the SHAP values of the trees (Lundberg et al., 2020, TreeSHAP), as XGBoost computes them."""
        booster = next(iter(self._boosters.values()))
        return by_column(self._encodings, contributions(booster, finite(matrix(self._encodings, columns))))


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
