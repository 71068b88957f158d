"""The built-in step `leakage`: features that know the answer already, because they come after it or because they are it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mlopsfw.errors import DataError
from mlopsfw.ids import nearest
from mlopsfw.pipeline.step import BuiltinStep, StepContext

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

_BINS = 64
_CLASSES = 20
_FEWEST = 50


class LeakageParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.leakage]`.

    Args:
        target: The label.
        features: The features; empty takes every column but the target, `at` and those that `known` names as times.
        at: When the model is asked, a column of times; a feature that is a time must not be later.
        known: Feature → the column with the time from which on it is known, which must not be later than `at`.
        limit: How well one feature alone may tell the label: area under the ROC curve, or R² of a number.
        level: Whether a finding ends the run or is logged.
    """

    target: str
    features: tuple[str, ...] = ()
    at: str = ""
    known: dict[str, str] = {}
    limit: float = 0.98
    level: Literal["fail", "warn"] = "fail"


class Leak(msgspec.Struct, frozen=True, kw_only=True):
    """A feature that should not be one.

    Args:
        feature: Its column.
        reason: In words.
        share: Of the rows that know it too late, or how well it alone tells the label.
    """

    feature: str
    reason: str
    share: float


def _run(context: StepContext, params: LeakageParams) -> Mapping[str, Any]:
    import polars as pl

    leaks = find_leaks(context.load("rows", pl.DataFrame), params)
    for leak in leaks:
        context.log(f"{leak.feature}: {leak.reason}")
    if leaks and params.level == "fail":
        listed = "".join(f"\n  - {leak.feature}: {leak.reason}" for leak in leaks)
        raise DataError(
            f"step {context.step}: {len(leaks)} features know the label too well:{listed}",
            hint='Leave them out of the features, or say level = "warn".',
        )
    return {"rows": context.inputs["rows"], "report": {"leaks": msgspec.to_builtins(leaks)}}


def find_leaks(rows: pl.DataFrame, params: LeakageParams) -> list[Leak]:
    """Return the features that are known too late, or that alone tell the label nearly without fault.

    How well one feature tells the label is measured across two halves of the rows: what a value means is learned on one and
    judged on the other, so that a column of names says nothing. A missing value is a value: it may tell as well.

    Raises:
        DataError: A column is not there, or there are fewer than 50 rows with a label.
    """
    times = set(params.known.values())
    for name in (params.target, *params.features, *params.known, *times, *filter(None, [params.at])):
        if name not in rows.columns:
            raise DataError(f"the rows have no column {name!r}", hint=nearest(name, rows.columns))
    labelled = rows.drop_nulls(params.target)
    if labelled.height < _FEWEST:
        raise DataError(f"{labelled.height} rows have a label; leakage needs {_FEWEST} to be judged")
    features = params.features or [name for name in rows.columns if name not in {params.target, params.at, *times}]
    return [*_late(rows, features, params), *_telling(labelled, features, params)]


def _late(rows: pl.DataFrame, features: Sequence[str], params: LeakageParams) -> Iterator[Leak]:
    import polars as pl

    if not params.at:
        return
    for name in features:
        column = params.known.get(name, name)
        if not rows.schema[column].is_temporal() or rows.schema[column] == pl.Duration:
            continue
        late = rows.select((pl.col(column) > pl.col(params.at)).sum()).item()
        if late:
            share = late / rows.height
            yield Leak(
                feature=name, reason=f"known later than {params.at!r} in {late:,} rows ({share:.1%})", share=share
            )


def _telling(rows: pl.DataFrame, features: Sequence[str], params: LeakageParams) -> Iterator[Leak]:
    labels, kind = _labels(rows[params.target])
    for name in features:
        codes = _codes(rows[name])
        strength = max(_strength(codes, label, kind) for label in labels) if codes is not None else 0.0
        if strength >= params.limit:
            reason = f"alone it tells {params.target!r} with {kind} {strength:.3f} (limit {params.limit:g})"
            yield Leak(feature=name, reason=reason, share=strength)


def _labels(target: pl.Series) -> tuple[list[np.ndarray], str]:
    """Return what is to be told, and how that is measured: each of the classes, or a number."""
    import numpy as np
    import polars as pl

    if target.dtype.is_numeric() and target.n_unique() > _CLASSES:
        return [target.cast(pl.Float64).rank().to_numpy()], "R²"
    classes = target.value_counts(sort=True).head(_CLASSES)[target.name]
    labels = [(target == value).to_numpy().astype(np.float64) for value in classes]
    return labels[1:] if len(labels) == 2 else labels, "AUC"  # noqa: PLR2004 - of two classes one says all


def _codes(column: pl.Series) -> np.ndarray | None:
    """Return which value each row holds: bins of equal share of a number or time, else the value itself; -1 where it is missing."""
    import numpy as np
    import polars as pl

    if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
        return None
    if column.dtype.is_numeric() or column.dtype.is_temporal():
        ranks = column.to_physical().cast(pl.Float64).fill_nan(None).rank("min")
        if column.n_unique() > _BINS:
            ranks = (ranks * _BINS / (column.len() + 1)).floor()
    else:
        ranks = column.cast(pl.String).rank("dense")
    return np.unique(ranks.fill_null(-1).to_numpy(), return_inverse=True)[1]


def _strength(codes: np.ndarray, label: np.ndarray, kind: str) -> float:
    """Return how well the value tells the label, learned on every other row and judged on those between."""
    import numpy as np

    from mlopsfw.evaluation import auc

    guess = np.empty(len(label))
    half = np.arange(len(label)) % 2 == 0
    for learned, judged in ((half, ~half), (~half, half)):
        prior = float(label[learned].mean())
        size = np.bincount(codes[learned], minlength=codes.max() + 1)
        total = np.bincount(codes[learned], weights=label[learned], minlength=codes.max() + 1)
        guess[judged] = ((total + prior) / (size + 1))[codes[judged]]
    if kind == "AUC":
        found = auc(label > 0, guess) if 0 < label.sum() < len(label) else 0.5
        return max(found, 1 - found)
    error = float(((label - guess) ** 2).mean() / label.var()) if label.var() else 1.0
    return max(0.0, 1.0 - error)


STEP = BuiltinStep(
    name="leakage",
    run=_run,
    params=LeakageParams,
    inputs=("rows",),
    outputs=("rows", "report"),
    summary="Refuse features that are known after the label, or that alone tell it",
)
