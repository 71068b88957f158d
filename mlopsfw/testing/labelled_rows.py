"""What the kit of trainers makes of rows: opposite labels, rows that nothing can be learned from, and how well answers agree with labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from mlopsfw.models.evaluation import auc

TASKS = ("binary", "multiclass", "regression")


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
