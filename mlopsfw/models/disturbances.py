"""Rows as a model may get them one day: noisy, with a column missing, with unseen categories, out of range, or nudged to its harm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from mlopsfw.kernel.base.lazy import lazy

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from mlopsfw.kernel.roles.bundle import SignatureColumn
else:
    np, pl = lazy("numpy"), lazy("polars")

Kind = Literal["noise", "missing", "unseen", "range", "steps"]
Loss = Callable[["pl.DataFrame"], "np.ndarray"]

_NOISE = 0.1  # standard deviations
_STEP = 0.05  # standard deviations
_BEYOND = 10  # times the range of the values
_UNSEEN = "a value that no row has"
_NUMBERS = ("number", "integer")


def disturbed(
    kind: Kind, inputs: Sequence[SignatureColumn], rows: pl.DataFrame, loss: Loss, seed: int
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield the rows, disturbed, with the column that is disturbed: empty where all of them are.

    `noise` adds Gaussian noise of a tenth of its standard deviation to each number. `steps` moves each number of each row by a twentieth of
    it, up or down, whichever raises the loss of that row: the sign step of Goodfellow, Shlens & Szegedy (2015, section 4), with differences
    in place of gradients, so that it suits any model. The others disturb one column at a time: `missing` makes a column that may be null
    null, `unseen` gives texts a new value, `range` sets a number ten times its range above its largest value. A null stays null.

    Args:
        kind: What is done.
        inputs: The model's inputs. Tensors, lists, dates and binary values are only made missing.
        rows: A table that has them.
        loss: Returns the loss of each row of such a table, float64 `[rows]`.
        seed: Seeds the noise.
    """
    numbers = {each.name: each.type == "integer" for each in inputs if each.type in _NUMBERS}
    if kind == "noise":
        draw = np.random.Generator(np.random.PCG64(seed))
        moves = {name: draw.normal(0, _NOISE * spread, rows.height) for name, spread in _spreads(rows, numbers).items()}
        if moves:
            yield "", _moved(rows, moves, numbers)
    elif kind == "steps":
        if moves := _harmful(rows, numbers, loss):
            yield "", _moved(rows, moves, numbers)
    else:
        for each in inputs:
            if (value := _value(kind, each, rows)) is not None:
                yield each.name, rows.with_columns(value.alias(each.name))


def _value(kind: Kind, column: SignatureColumn, rows: pl.DataFrame) -> pl.Expr | None:
    """Return what a column becomes; None where it cannot be disturbed so."""
    if kind == "missing":
        return pl.lit(None, dtype=rows.schema[column.name]) if column.nullable else None
    own = pl.col(column.name)
    if kind == "unseen":
        return pl.when(own.is_null()).then(None).otherwise(pl.lit(_UNSEEN)) if column.type == "string" else None
    if column.type not in _NUMBERS:
        return None
    return pl.when(own.is_null()).then(None).otherwise(own.max() + _BEYOND * (own.max() - own.min()))


def _spreads(rows: pl.DataFrame, names: Sequence[str] | dict[str, bool]) -> dict[str, float]:
    """Return the standard deviation of each column that has one."""
    spreads = {name: rows[name].cast(pl.Float64).fill_nan(None).std() for name in names}
    return {
        name: float(spread)
        for name, spread in spreads.items()
        if isinstance(spread, float) and 0 < spread < float("inf")
    }


def _moved(rows: pl.DataFrame, moves: dict[str, np.ndarray], whole: dict[str, bool]) -> pl.DataFrame:
    """Return the rows whose numbers are moved; whole numbers stay whole."""
    made = {name: rows[name].cast(pl.Float64) + pl.Series(by) for name, by in moves.items()}
    return rows.with_columns(
        (column.round().cast(pl.Int64) if whole[name] else column).alias(name) for name, column in made.items()
    )


def _harmful(rows: pl.DataFrame, numbers: dict[str, bool], loss: Loss) -> dict[str, np.ndarray]:
    """Return the step of each column and row that raises the loss, 0 where neither does."""
    before, moves = loss(rows), {}
    for name, spread in _spreads(rows, numbers).items():
        by = max(1.0, _STEP * spread) if numbers[name] else _STEP * spread
        up, down = (loss(_moved(rows, {name: np.full(rows.height, way)}, numbers)) for way in (by, -by))
        best = np.where(up >= down, by, -by)
        moves[name] = np.where(np.maximum(up, down) > before, best, 0.0)
    return moves
