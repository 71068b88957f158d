"""Slices where a model is worse than elsewhere: searched on one half of the judged rows, and confirmed on the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from mlopsfw.models.bootstrap import intervals

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.training.crossfit import Judged

_TRIED = 5  # slices that are taken to the other half
_Z = 2.575829303548901  # the normal quantile of 0.995: five one-sided tests together err in 2.5%
_VALUES = 20  # categories of a column that make slices
_PARTS = 4  # intervals of a number
_CONDITIONS = 400  # conditions that are paired; of more the worst
_MOST = 1 << 17  # rows of the half that is searched
_ALIKE = 0.5  # two slices that share more of their rows count as one
_TINY = 1e-15


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the rows, described by one or two columns.

    Args:
        where: Its conditions, such as `carrier = 'UA' and distance >= 1400`.
        rows: Its rows in the half that confirms.
        loss: Their mean loss (log loss, or squared error).
        rest: That of the other rows of this half.
        low, high: The interval of the difference, at a level that heeds how many slices were tried; None where it has none.
        confirmed: Whether the whole interval lies above 0.
    """

    where: str
    rows: int
    loss: float
    rest: float
    low: float | None = None
    high: float | None = None
    confirmed: bool = False


class _Condition(NamedTuple):
    column: str
    text: str
    holds: np.ndarray


def losses(judged: Judged, classes: Sequence[object]) -> np.ndarray:
    """Return the loss of each row: the negative log of the probability of its class, or the squared error."""
    main = judged.main.astype(np.float64)
    if not classes:
        errors: np.ndarray = (main - judged.labels) ** 2
        return errors
    both = np.stack([1 - main, main], axis=1) if main.ndim == 1 else main
    own: np.ndarray = -np.log(np.maximum(both[np.arange(len(both)), judged.labels], _TINY))
    return own


def search(
    rows: pl.DataFrame,
    loss: np.ndarray,
    clusters: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    fewest: int = 30,
    seed: int = 0,
) -> list[Slice]:
    """Return the slices that look worst on one half of the clusters, as the other half sees them, the worst first.

    Conditions are the 20 most frequent values of a text, an integer of few values or a boolean, the quarters of a number, and null. A slice is a
    condition, or two of different columns. Up to five that share less than half of their rows are taken to the other half.

    Args:
        rows: The columns to slice by. Those of other types are passed over.
        loss: float64 `[rows]`.
        clusters: int64 code of each row's cluster, from 0; a cluster is in one half.
        weights: float64, how often each row counts in a mean loss; None for once. Zeros alone give no slices.
        fewest: Rows that a slice needs in each half.
        seed: Draws the halves.
    """
    weights = np.ones(len(loss)) if weights is None else weights
    count = int(clusters.max(initial=-1)) + 1
    draw = np.random.Generator(np.random.PCG64(seed))
    half = draw.permutation(count) < count // 2
    first = half[clusters]
    conditions = list(_conditions(rows, first))
    if not conditions or not first.any() or not weights.any():
        return []
    held: np.ndarray = np.stack([each.holds for each in conditions])
    at = np.flatnonzero(first)
    if len(at) > _MOST:
        at = draw.choice(at, _MOST, replace=False)
    found = _worst(
        held[:, at].astype(np.float32),
        (loss * weights / weights.mean())[at],
        [each.column for each in conditions],
        fewest,
    )
    second = ~first
    own = np.unique(clusters[second], return_inverse=True)[1]
    slices: list[Slice] = []
    for pair in found:
        inside: np.ndarray = np.logical_and(*held[list(pair)])[second]
        if min(inside.sum(), (~inside).sum()) >= fewest:
            where = " and ".join(conditions[at].text for at in dict.fromkeys(pair))
            slices += _seen(where, inside, loss[second], weights[second], own, seed=seed)
    return slices


def _conditions(rows: pl.DataFrame, first: np.ndarray) -> Iterator[_Condition]:
    import polars as pl

    for name in rows.columns:
        column = rows[name]
        if column.null_count():
            yield _Condition(name, f"{name} is null", column.is_null().to_numpy())
        if column.dtype in (pl.String, pl.Boolean, pl.Categorical, pl.Enum) or (
            column.dtype.is_integer() and column.n_unique() <= _VALUES
        ):
            counts = column.drop_nulls().value_counts(sort=True).head(_VALUES)
            for value in counts[name] if counts.height > 1 else []:
                yield _Condition(name, f"{name} = {value!r}", (column == value).fill_null(value=False).to_numpy())
        elif column.dtype.is_numeric():
            yield from _quarters(name, column.cast(pl.Float64).fill_null(np.nan).to_numpy(), first)


def _quarters(name: str, values: np.ndarray, first: np.ndarray) -> Iterator[_Condition]:
    known = values[first & np.isfinite(values)]
    edges = np.unique(np.quantile(known, np.arange(1, _PARTS) / _PARTS)) if len(known) else np.array([])
    for low, high in zip([-np.inf, *edges], [*edges, np.inf], strict=True):
        ends = [f"{name} >= {low:.4g}"] * bool(np.isfinite(low)) + [f"{name} < {high:.4g}"] * bool(np.isfinite(high))
        if ends:
            yield _Condition(name, " and ".join(ends), (values >= low) & (values < high))


def _worst(held: np.ndarray, loss: np.ndarray, columns: Sequence[str], fewest: int) -> list[tuple[int, int]]:
    """Return pairs of conditions (twice the same for one) with the largest excess of loss, in standard errors, that differ enough."""
    kept = np.arange(len(held))
    if len(held) > _CONDITIONS:
        single = _excess(held.sum(axis=1), held @ loss.astype(np.float32), loss, fewest)
        kept = np.sort(np.argsort(-single)[:_CONDITIONS])
    part = held[kept]
    excess = _excess(part @ part.T, (part * loss.astype(np.float32)) @ part.T, loss, fewest)
    names = np.asarray(columns)[kept]
    same = names[:, None] == names[None, :]
    excess[np.triu(np.ones_like(excess, dtype=bool), 1) | (same & ~np.eye(len(part), dtype=bool))] = -np.inf
    chosen: list[tuple[int, int]] = []
    masks: list[np.ndarray] = []
    for place in np.argsort(-excess, axis=None)[: 50 * _TRIED]:
        a, b = np.unravel_index(place, excess.shape)
        mask = part[a] * part[b] > 0
        if not excess[a, b] > 0 or len(chosen) == _TRIED:
            break
        if all((mask & other).sum() <= _ALIKE * (mask | other).sum() for other in masks):
            chosen.append((int(kept[a]), int(kept[b])))
            masks.append(mask)
    return chosen


def _excess(counts: np.ndarray, sums: np.ndarray, loss: np.ndarray, fewest: int) -> np.ndarray:
    """Return by how many standard errors the mean loss of parts exceeds that of the other rows."""
    others = len(loss) - counts
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = sums / counts - (loss.sum() - sums) / others
        values: np.ndarray = gap / (float(loss.std()) * np.sqrt(1 / counts + 1 / others))
    return np.where((counts >= fewest) & (others >= fewest) & np.isfinite(values), values, -np.inf)


def _seen(
    where: str, inside: np.ndarray, loss: np.ndarray, weights: np.ndarray, clusters: np.ndarray, *, seed: int
) -> Iterator[Slice]:
    """Yield the slice as the rows of this half see it; nothing where the rows of a side weigh nothing."""

    def means(times: np.ndarray | None) -> list[float]:
        counted = weights if times is None else times * weights
        sides = [side for side in (inside, ~inside) if counted[side].any()]
        return [float(np.average(loss[side], weights=counted[side])) for side in sides]

    def gap(times: np.ndarray | None) -> dict[str, float]:
        found = means(times)
        return {"gap": found[0] - found[1]} if len(found) > 1 else {}

    if not gap(None):
        return
    ends = intervals(gap, clusters, seed=seed, z=_Z).get("gap")
    own, rest = means(None)
    low, high = ends or (None, None)
    confirmed = low is not None and low > 0
    yield Slice(where=where, rows=int(inside.sum()), loss=own, rest=rest, low=low, high=high, confirmed=confirmed)
