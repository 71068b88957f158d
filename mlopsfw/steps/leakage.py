"""The built-in step `leakage`: refuses features that reveal the label, because they are known later or equal it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.roles.hookspecs import hookimpl
from mlopsfw.kernel.roles.provider import Provider
from mlopsfw.kernel.roles.step import Step
from mlopsfw.pipeline.graph.step import StepContext

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from mlopsfw.kernel.roles.host import Host

_BINS = 64
_CLASSES = 20
_FEWEST = 50
_MOST = 1 << 20  # rows on which the strength of a feature is measured
_ROW = "\1row"


class LeakageParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.leakage]`.

    Args:
        target: The label.
        features: The features; by default every column but the target, `at` and the times in `known`.
        at: A column with the time of the prediction. A feature that is a time must not be later.
        known: Feature → the column with the time when it becomes known, which must not be later than `at`.
        limit: How well one feature alone may predict the label: area under the ROC curve, or R² for a number.
        level: Whether a finding ends the run or is logged.
    """

    target: str
    features: tuple[str, ...] = ()
    at: str = ""
    known: dict[str, str] = {}
    limit: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.98
    level: Literal["fail", "warn"] = "fail"


class Leak(msgspec.Struct, frozen=True, kw_only=True):
    """A feature that reveals the label.

    Args:
        feature: Its column.
        reason: In words.
        share: The share of rows that know it too late, or how well it alone predicts the label.
    """

    feature: str
    reason: str
    share: float


def _run(params: LeakageParams, context: StepContext) -> Mapping[str, Any]:
    import polars as pl

    leaks = find_leaks(context.load("rows", pl.LazyFrame), params)
    for leak in leaks:
        context.log(f"{leak.feature}: {leak.reason}")
    if leaks and params.level == "fail":
        listed = "".join(f"\n  - {leak.feature}: {leak.reason}" for leak in leaks)
        raise DataError(
            f"step {context.step}: {len(leaks)} features reveal the label:{listed}",
            hint='Drop these features, or set level = "warn".',
        )
    return {"rows": context.inputs["rows"], "report": {"leaks": msgspec.to_builtins(leaks)}}


def find_leaks(rows: pl.LazyFrame, params: LeakageParams) -> list[Leak]:
    """Return the features that are known too late, or that alone predict the label almost perfectly.

    The prediction by one feature is learned on one half of the rows and measured on the other, so that a column of names predicts
    nothing. A missing value counts as a value. Of more than a million rows with a label, a million chosen by the hash of their number are
    measured; the check for late features covers all rows.

    Raises:
        DataError: A column is not there, or there are fewer than 50 rows with a label.
    """
    import polars as pl

    times, schema = set(params.known.values()), rows.collect_schema()
    for name in (params.target, *params.features, *params.known, *times, *filter(None, [params.at])):
        if name not in schema:
            raise DataError(f"the rows have no column {name!r}", hint=nearest(name, schema))
    labelled = int(rows.select(pl.col(params.target).count()).collect(engine="streaming").item())
    if labelled < _FEWEST:
        raise DataError(f"only {labelled} rows have a label; the step needs {_FEWEST} to judge leakage")
    features = params.features or [name for name in schema if name not in {params.target, params.at, *times}]
    return [*_late(rows, schema, features, params), *_telling(_some(rows, labelled, params.target), features, params)]


def _late(
    rows: pl.LazyFrame, schema: Mapping[str, Any], features: Sequence[str], params: LeakageParams
) -> Iterator[Leak]:
    import polars as pl

    known = {name: params.known.get(name, name) for name in features if params.at}
    asked = {name: at for name, at in known.items() if schema[at].is_temporal() and schema[at] != pl.Duration}
    late = {name: (pl.col(column) > pl.col(params.at)).sum() for name, column in asked.items()}
    found = rows.select(pl.len().alias(_ROW), **late).collect(engine="streaming").row(0, named=True) if late else {}
    for name in filter(found.get, asked):
        count, share = found[name], found[name] / found[_ROW]
        yield Leak(feature=name, reason=f"known later than {params.at!r} in {count:,} rows ({share:.1%})", share=share)


def _some(rows: pl.LazyFrame, labelled: int, target: str) -> pl.LazyFrame:
    """Return the rows with a label, or a part of many."""
    import polars as pl

    if labelled > _MOST:
        chosen = pl.col(_ROW).hash(17) < int(_MOST / labelled * 2**64)
        rows = rows.with_row_index(_ROW).filter(chosen).drop(_ROW)
    return rows.drop_nulls(target)


def _telling(rows: pl.LazyFrame, features: Sequence[str], params: LeakageParams) -> Iterator[Leak]:
    """Yield the features that reveal the label. Memory holds two columns at a time."""
    labels, kind = _labels(rows.select(params.target).collect(engine="streaming").to_series())
    for name in features:
        codes = _codes(rows.select(params.target, name).collect(engine="streaming")[name])
        strength = max(_strength(codes, label, kind) for label in labels) if codes is not None else 0.0
        if strength >= params.limit:
            reason = f"it alone predicts {params.target!r} with {kind} {strength:.3f} (limit {params.limit:g})"
            yield Leak(feature=name, reason=reason, share=strength)


def _labels(target: pl.Series) -> tuple[list[np.ndarray], str]:
    """Return the targets to predict, and their measure: each of the classes, or a number."""
    import numpy as np
    import polars as pl

    if target.dtype.is_numeric() and target.n_unique() > _CLASSES:
        return [target.cast(pl.Float64).rank().to_numpy()], "R²"
    classes = target.value_counts(sort=True).head(_CLASSES)[target.name]
    labels = [(target == value).to_numpy().astype(np.float64) for value in classes]
    return labels[1:] if len(labels) == 2 else labels, "AUC"  # noqa: PLR2004 - of two classes one says all


def _codes(column: pl.Series) -> np.ndarray | None:
    """Return the value of each row as a code: bins of equal share for a number or time, else the value itself; -1 if missing."""
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
    """Return how well the codes predict the target, learned on every other row and measured on the rows between."""
    import numpy as np

    from mlopsfw.models.evaluation import auc

    guess = np.empty(len(label))
    half = np.arange(len(label)) % 2 == 0
    for learned, held_out in ((half, ~half), (~half, half)):
        prior = float(label[learned].mean())
        size = np.bincount(codes[learned], minlength=codes.max() + 1)
        total = np.bincount(codes[learned], weights=label[learned], minlength=codes.max() + 1)
        guess[held_out] = ((total + prior) / (size + 1))[codes[held_out]]
    if kind == "AUC":
        return auc(label > 0, guess) if 0 < label.sum() < len(label) else 0.5
    error = float(((label - guess) ** 2).mean() / label.var()) if label.var() else 1.0
    return max(0.0, 1.0 - error)


def build(params: LeakageParams, _host: Host) -> Step:
    """Return the step with these options."""
    return Step(
        run=partial(_run, params),
        inputs=("rows",),
        outputs=("rows", "report"),
    )


@hookimpl
def mlopsfw_steps() -> Iterable[Provider[Step]]:
    """Offer the step `leakage`."""
    yield Provider(
        "leakage", LeakageParams, build, "Refuse features that are known only after the label, or that alone predict it"
    )
