"""Prove, when a bundle is made, that serving computes what training computed: on some training rows (not stored) and on the golden rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import polars as pl

from mlopsfw.features.fit import read_wishes
from mlopsfw.kernel.base.errors import BundleError, SignatureMismatch
from mlopsfw.models.bundle.answers import as_lists
from mlopsfw.models.bundle.golden import Golden, check_alike, replay_golden
from mlopsfw.models.bundle.scoring import request_values

if TYPE_CHECKING:
    from mlopsfw.features import FeaturePlan
    from mlopsfw.kernel.roles.bundle import SignatureColumn
    from mlopsfw.kernel.roles.training import TrainingTask
    from mlopsfw.models.bundle.loaded import LoadedBundle

_ROWS = 64


def check_derived(plan: FeaturePlan | None, task: TrainingTask) -> None:
    """Raise `BundleError` if a trainer's plan does not make exactly the derived columns of its task."""
    made = () if plan is None else plan.derived
    actual, declared = ({each.name: each for each in columns} for columns in (made, task.derived))
    needed = {name for name in task.features if name in declared} if plan is not None else declared.keys()
    wrong = sorted({name for name in actual if declared.get(name) != actual[name]} | (needed - actual.keys()))
    if wrong:
        raise BundleError(
            f"the trainer's plan does not derive the column {wrong[0]!r} as the task says",
            hint="A trainer must take its plan from FeaturePlan.fit(table, task), and return it as the file plan.json.",
        )


def check_served(plan: FeaturePlan, rows: pl.DataFrame, seed: int) -> None:
    """Make features of some training rows as serving does, one by one, and compare them bit by bit with those of training.

    Args:
        plan: The plan.
        rows: Training rows; 64 of them are drawn. One that a request could not hold is passed over.
        seed: Draws them.

    Raises:
        ServingSkew: They differ; says in what, and shows no value of a row.
    """
    sample = rows.sample(min(_ROWS, rows.height), seed=seed)
    trained = plan.polars(sample)
    columns = {column.name: request_values(sample[column.name], column) for column in plan.inputs}
    for row in range(sample.height):
        try:
            served = plan.numpy({name: values[row : row + 1] for name, values in columns.items()})
        except SignatureMismatch:
            continue
        single = {name: values[row : row + 1] for name, values in trained.items()}
        check_alike(plan, single, served, f"sampled training row {row}", real=True)


def prove(bundle: LoadedBundle, columns: dict[str, list[Any]]) -> Golden:
    """Return the golden rows with their outputs, and their features as in training, after checking that serving gives the same."""
    if bundle.plan is None:
        outputs, features = bundle.predict(columns), {}
    else:
        table = as_table(bundle.plan.inputs, columns)
        outputs = bundle.predict_table(table)
        features = {name: values.tolist() for name, values in bundle.plan.polars(table).items()}
    plain = msgspec.json.decode(msgspec.json.encode(as_lists(outputs)))
    golden = Golden(columns=columns, outputs=plain, features=features)
    replay_golden(bundle, golden)
    return golden


def as_table(inputs: tuple[SignatureColumn, ...], columns: Mapping[str, list[Any]]) -> pl.DataFrame:
    """Return a request's columns as the table that training would have."""
    types: dict[str, Any] = {"number": pl.Float64, "integer": pl.Int64, "boolean": pl.Boolean}
    features = {}
    for column in inputs:
        series = pl.Series(column.name, columns[column.name], dtype=types.get(column.type, pl.String))
        if column.type == "date":
            series = series.str.to_date("%Y-%m-%d")
        elif column.type == "datetime":
            series = series.str.to_datetime(time_unit="us", time_zone="UTC")
        features[column.name] = series
    return pl.DataFrame(features)


def spans(
    inputs: tuple[SignatureColumn, ...], plan: FeaturePlan | None, rows: pl.DataFrame, task: TrainingTask
) -> dict[str, tuple[float, float]]:
    """Return the middle nine tenths of the numbers that no operation of a plan describes; nothing for personal columns."""
    wishes = read_wishes(task)
    ranges = {}
    for column in inputs:
        personal = column.name in wishes and wishes[column.name].pii
        if column.type not in ("number", "integer") or personal or (plan is not None and column.name not in plan.reads):
            continue
        values = rows[column.name].cast(pl.Float64).drop_nulls().to_numpy()
        values = values[np.isfinite(values)]
        if values.size:
            low, high = np.quantile(values, [0.05, 0.95]).tolist()
            ranges[column.name] = (low, high)
    return ranges
