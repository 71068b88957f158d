"""The rows of the kit of trainers: rows of every type, opposite labels, rows that nothing can be learned from, and how well answers agree."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from mlopsfw.kernel.roles.training import TrainingTask
from mlopsfw.models.evaluation import auc

TASKS = ("binary", "multiclass", "regression")


def training_rows(rows: int = 1200, seed: int = 0) -> pl.DataFrame:
    """Return rows of every type that a request can hold, with labels for each task that hang on them."""
    draw = np.random.default_rng(seed)
    number, count = draw.normal(50, 20, rows), draw.integers(0, 24, rows)
    color = draw.choice(["red", "green", "blue"], rows)
    signal = (number - 50) / 20 + (color == "red") * 2.0 - (count > 12) + draw.normal(0, 0.5, rows)
    start = np.datetime64("2013-01-01T00:00:00", "us")
    frame = pl.DataFrame(
        {
            "number": number,
            "count": count,
            "color": color,
            "code": [f"N{value}" for value in draw.integers(0, 300, rows)],
            "flag": draw.random(rows) < 0.5,
            "moment": start + draw.integers(0, 90 * 86400, rows) * np.timedelta64(1_000_000, "us"),
            "constant": np.ones(rows),
            "binary": signal > 0,
            "multiclass": np.array(["low", "middle", "high"])[np.digitize(signal, [-1.0, 1.0])],
            "regression": signal * 10 + 100,
        }
    )
    gone = pl.Series(draw.random(rows) < 0.1)
    empty = pl.lit(None)
    return frame.with_columns(
        pl.when(gone).then(empty).otherwise("number").alias("number"),
        pl.when(gone.shift(1, fill_value=False)).then(empty).otherwise("color").alias("color"),
    ).with_columns(day=pl.col("moment").dt.date())


def training_task(kind: str, **more: object) -> TrainingTask:
    """Return the task of learning one of the labels of `training_rows`."""
    others = tuple(name for name in TASKS if name != kind)
    return TrainingTask(task=kind, target=kind, **{"exclude": others, "seed": 3, **more})  # type: ignore[arg-type]


def contradicted(rows: pl.DataFrame, kind: str) -> pl.DataFrame:
    """Return the rows with the opposite label: true for false, high for low, a small number for a large one."""
    opposite = {
        "binary": ~pl.col("binary"),
        "multiclass": pl.col("multiclass").replace({"low": "high", "high": "low"}),
        "regression": 200 - pl.col("regression"),
    }
    return rows.with_columns(opposite[kind].alias(kind))


def agreement(kind: str, labels: pl.Series, outputs: np.ndarray) -> float:
    """Return how well outputs agree with labels: near 1 if they do, near 0 (of numbers, -1) if they say the opposite."""
    if kind == "binary":
        return auc(labels.to_numpy(), outputs)
    if kind == "multiclass":
        return float((np.array(["high", "low", "middle"])[outputs.argmax(axis=1)] == labels.to_numpy()).mean())
    return float(np.corrcoef(outputs, labels.to_numpy())[0, 1])


def columns_of(rows: pl.DataFrame, *types: pl.DataType | type[pl.DataType]) -> list[str]:
    """Return the columns that are no labels, of these types if some are given."""
    names = [name for name in rows.columns if name not in TASKS]
    return [name for name in names if not types or rows[name].dtype in types]


Rows = Callable[..., pl.DataFrame]
"""Makes rows with labels: `make_rows(rows=1200, seed=0)`."""

HOSTILE: dict[str, Callable[[pl.DataFrame, str], pl.DataFrame]] = {
    "no target": lambda rows, kind: rows.drop(kind),
    "no labels": lambda rows, kind: rows.with_columns(pl.lit(None, rows[kind].dtype).alias(kind)),
    "one class": lambda rows, kind: rows.with_columns(pl.lit(rows[kind][0]).alias(kind)),
    "numbers for classes": lambda rows, kind: rows.with_columns(pl.col("regression").alias(kind)),
    "a list column": lambda rows, _: rows.with_columns(pl.lit([1, 2]).alias(columns_of(rows)[0])),
    "no rows": lambda rows, _: rows[:0],
}
"""Rows that nothing can be learned from."""
