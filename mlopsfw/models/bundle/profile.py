"""The training profile: for each input and output the reference that monitors compare with. Holds distributions, no rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlopsfw.features.fit import read_wishes
from mlopsfw_core import Reference
from mlopsfw_core.prepared import Kind

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.kernel.roles.bundle import Manifest, OutputColumn
    from mlopsfw.kernel.roles.training import TrainingData, TrainingTask

_SAMPLE = 1 << 18
WITHOUT_STATISTICS = ("binary", "list", "tensor")
_NUMERIC = ("number", "integer", "date", "datetime")


def sampled(train: TrainingData, seed: int) -> pl.DataFrame:
    """Return at most 262,144 of the rows, drawn at random: enough for every comparison. No others are held in memory."""
    import polars as pl

    rows: pl.LazyFrame = train.lazy()
    if train.rows <= _SAMPLE:
        return rows.collect()
    drawn = pl.int_range(train.rows, eager=True).sample(_SAMPLE, seed=seed)
    at = "row number of mlopsfw"
    numbered = rows.with_row_index(at).filter(pl.col(at).is_in(drawn.implode())).collect(engine="streaming").sort(at)
    return numbered.drop(at)[drawn.arg_sort().arg_sort()]


def fit_profile(
    frame: pl.DataFrame, manifest: Manifest, outputs: Mapping[str, np.ndarray], task: TrainingTask
) -> dict[str, Any]:  # fmt: skip
    """Return column → reference as a dict, for the inputs and the outputs.

    An output with a value for each class becomes one reference a class, named `output[class]`. Of a personal column
    (`pii` in the task's options) no value is kept: texts are counted by hash cell, and numbers are left out. Binary
    columns, lists and other tensors have no statistics, and so no reference.

    Args:
        frame: Training rows.
        manifest: Inputs, outputs and classes.
        outputs: The model's answers to these rows.
        task: The learned task.
    """
    wishes = read_wishes(task)
    profile: dict[str, Any] = {}
    for column in manifest.inputs:
        if column.type in WITHOUT_STATISTICS:
            continue
        personal = column.name in wishes and wishes[column.name].pii
        numeric = column.type in _NUMERIC and not (column.name in wishes and wishes[column.name].kind == "category")
        if not (personal and numeric):
            options = {"max_categories": 0} if personal else {}
            kind: Kind = "numeric" if numeric else "categorical"
            profile[column.name] = Reference.fit(frame[column.name], kind, name=column.name, **options).to_dict()
    return {**profile, **answer_profile(manifest, outputs)}


def answer_profile(manifest: Manifest, outputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return output → reference as a dict; see `fit_profile`."""
    profile: dict[str, Any] = {}
    for output in manifest.outputs:
        for label, each in _flat(output, outputs[output.name], manifest.classes):
            kind: Kind = "categorical" if output.type == "string" else "numeric"
            profile[label] = Reference.fit(each, kind, name=label).to_dict()
    return profile


def _flat(output: OutputColumn, values: np.ndarray, classes: Sequence[Any]) -> list[tuple[str, np.ndarray]]:
    """Return what has statistics of an output: itself, or each class of a tensor with one value a class."""
    if output.type == "tensor":
        is_by_class = output.shape == (len(classes),)
        return [
            (f"{output.name}[{c}]", values[:, at].astype(np.float64)) for at, c in enumerate(classes) if is_by_class
        ]
    if output.type in WITHOUT_STATISTICS or output.type in ("date", "datetime"):
        return []
    return [(output.name, values if output.type == "string" else values.astype(np.float64))]
