"""Implements the runtime protocol by LightGBM. The model comes from checked bytes: LightGBM itself opens no file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import lightgbm
import msgspec
import numpy as np

from mlopsfw.errors import BundleError
from mlopsfw.features.adopted import tree_columns
from mlopsfw.features.encoding import FILE, Encoding, ascending, by_column, matrix, outputs_of, read_encodings
from mlopsfw.roles import read_listed, read_model
from mlopsfw_lightgbm.text import categories_of, checked_text, objective_of

if TYPE_CHECKING:
    from mlopsfw.roles import Manifest, Model, TrainedModel, TrainingTask

FORMAT = "lightgbm"
QUANTILE_FILE = "{}.txt"
"""The file of the trees that answer a quantile, by the name of the output."""
GENERIC = "Column_{}"
"""What LightGBM calls the columns of a matrix without names."""
_TASKS = {
    "binary": "binary",
    "multiclass": "multiclass",
    **dict.fromkeys(
        ("regression", "regression_l1", "quantile", "huber", "fair", "poisson", "mape", "gamma", "tweedie"),
        "regression",
    ),
}
"""Objective → the task that it is for."""


class LightGbmRuntime:
    """Loads LightGBM's text files.

    Args:
        threads: Threads inside one prediction.
    """

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads

    def load(self, folder: Path, manifest: Manifest) -> Model:
        """Load the file that the manifest lists for `lightgbm`, and the encoding beside it. Raise `BundleError`."""
        file = folder / manifest.formats.get(FORMAT, "")
        outputs = outputs_of(manifest, file)
        booster = _booster(read_model(folder, manifest, FORMAT), file)
        encodings = read_encodings(read_listed(folder, manifest, FILE), manifest, booster.num_feature())
        classes = len(manifest.classes) if manifest.task == "multiclass" else 1
        _check(booster, encodings, classes, file)
        boosters = {outputs[0]: booster}
        for name in outputs[1:]:
            beside = QUANTILE_FILE.format(name)
            boosters[name] = _booster(read_listed(folder, manifest, beside), folder / beside)
            _check(boosters[name], encodings, 1, folder / beside)
        return LightGbmModel(boosters, encodings, self._threads)

    def adopt(self, task: TrainingTask, model: TrainedModel, scratch: Path) -> tuple[TrainingTask, TrainedModel]:
        """Return task and model as the file says them; a bundle keeps the encoding beside it. Raise `BundleError`."""
        name = model.formats[FORMAT]
        file = model.files[name]
        data = file.read_bytes()
        booster = _booster(data, file)
        said = objective_of(data.decode("ascii"))
        if not task.task and said not in _TASKS:
            raise BundleError(f"{file.name} has the objective {said!r}, which names no task", hint="Name the task.")
        task = msgspec.structs.replace(task, task=task.task or _TASKS[said])
        try:
            categories = categories_of(data.decode("ascii"))
        except ValueError as error:
            raise BundleError(f"{file.name}: {error}") from error
        inputs, encodings = tree_columns(booster.feature_name(), model.inputs, categories, GENERIC)
        (scratch / FILE).write_bytes(msgspec.json.encode(encodings))
        count = booster.num_model_per_iteration() if task.task == "multiclass" else 2 if task.task == "binary" else 0
        classes = model.classes or tuple(range(count))
        files = {**model.files, FILE: scratch / FILE}
        return task, msgspec.structs.replace(model, inputs=inputs, files=files, classes=classes)


class LightGbmModel:
    """A loaded model. LightGBM's predictions may run in many threads.

    Args:
        boosters: Output → its trees: the task's own, then quantiles in ascending order.
        encodings: Of their columns, in order.
        threads: Threads inside one prediction.
    """

    def __init__(self, boosters: Mapping[str, lightgbm.Booster], encodings: tuple[Encoding, ...], threads: int) -> None:
        self._boosters, self._encodings, self._threads = boosters, encodings, threads

    def predict(self, columns: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Return the outputs for the rows of `columns`."""
        numbers = matrix(self._encodings, columns)
        main, *quantiles = (predictions(each, numbers, self._threads) for each in self._boosters.values())
        return dict(zip(self._boosters, (main, *ascending(quantiles)), strict=True))

    def explain(self, columns: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Return the SHAP values of the trees (Lundberg et al., 2020, TreeSHAP), as LightGBM computes them."""
        booster = next(iter(self._boosters.values()))
        values = contributions(booster, matrix(self._encodings, columns), self._threads)
        return by_column(self._encodings, values)


def predictions(booster: lightgbm.Booster, numbers: np.ndarray, threads: int) -> np.ndarray:
    """Return the trees' answers, one a row. LightGBM refuses a matrix without rows."""
    if not len(numbers):
        classes = booster.num_model_per_iteration()
        return np.empty((0, classes) if classes > 1 else 0)
    return np.asarray(booster.predict(numbers, num_threads=threads))


def contributions(booster: lightgbm.Booster, numbers: np.ndarray, threads: int) -> np.ndarray:
    """Return what each column adds to the trees' sums, `[rows, sums, columns + 1]`, the last one that of no column."""
    values = np.asarray(booster.predict(numbers, pred_contrib=True, num_threads=threads), dtype=np.float64)
    return values.reshape(len(numbers), booster.num_model_per_iteration(), numbers.shape[1] + 1)


def _booster(data: bytes, file: Path) -> lightgbm.Booster:
    """Return the trees of a text file. Other bytes never reach LightGBM's parser: it looks at no bounds."""
    if not data.startswith(b"tree\n") or not data.isascii():
        raise BundleError(f"{file} is not a text file of LightGBM")
    try:
        return lightgbm.Booster(model_str=checked_text(data.decode("ascii")))
    except (lightgbm.basic.LightGBMError, ValueError) as error:
        raise BundleError(f"{file} is not a model that LightGBM can load: {error}") from error


def _check(booster: lightgbm.Booster, encodings: tuple[Encoding, ...], outputs: int, file: Path) -> None:
    """Raise `BundleError` where the trees and the manifest disagree."""
    if booster.num_model_per_iteration() != outputs or booster.num_feature() != len(encodings):
        raise BundleError(
            f"{file} has {booster.num_model_per_iteration()} outputs of {booster.num_feature()} columns, "
            f"but the bundle needs {outputs} of {len(encodings)}"
        )
