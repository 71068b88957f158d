"""Which part of a split each row belongs to: by time, by a draw, or by a column's values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopsfw.data.tables.calendar import instant_literal
from mlopsfw.data.tables.digest import computed
from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.base.spans import duration
from mlopsfw.steps.split_params import PARTS

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from mlopsfw.steps.split_params import SplitParams

_BUCKETS = 1 << 30
_PART = "\1part"  # no user has such a column


def deal(rows: pl.LazyFrame, params: SplitParams) -> pl.Series:
    """Return the part of each row, null for none; one byte a row."""
    return {"time": _by_time, "fraction": _by_fraction, "column": _by_column}[params.by](rows, params)


def _labels(rows: pl.LazyFrame, label: pl.Expr) -> pl.Series:
    """Return the part of each row, in the order of the rows.

    The rows are computed before the label is: where all branches of a condition are literals, Polars may return the batches of a file in
    another order, and the label would be another row's.
    """
    import polars as pl

    names = list(dict.fromkeys(label.meta.root_names()))
    parts = [part.select(label.cast(pl.Enum(PARTS)).alias(_PART)) for part in computed(rows.select(names))]
    return pl.concat(parts).to_series() if parts else pl.Series(_PART, dtype=pl.Enum(PARTS))


def _by_time(rows: pl.LazyFrame, params: SplitParams) -> pl.Series:
    """Assign rows to parts by limits in time. A row without a time, or outside start and end, is in no part."""
    import polars as pl

    time = pl.col(params.column)
    kind = rows.collect_schema()[params.column]
    if not kind.is_temporal():
        raise DataError(f"column {params.column!r} is {kind}, not a date or datetime")
    label = pl.lit("train")
    for name, begin in (("validation", params.validation), ("test", params.test)):
        if begin:
            label = pl.when(time >= instant_literal(str(begin), kind)).then(pl.lit(name)).otherwise(label)
    inside = time.is_not_null()
    if params.start:
        inside &= time >= instant_literal(params.start, kind)
    if params.end:
        inside &= time < instant_literal(params.end, kind)
    delay, moment = duration(params.label_delay or "0s"), time.cast(pl.Datetime("us"))
    for begin in (params.validation, params.test):
        if delay and begin:
            limit = instant_literal(str(begin), kind).cast(pl.Datetime("us"))
            inside &= (moment >= limit) | (moment + delay <= limit)
    return _labels(rows, pl.when(inside).then(label))


def _by_fraction(rows: pl.LazyFrame, params: SplitParams) -> pl.Series:
    import polars as pl

    if params.stratify:
        return _stratified(rows, params)
    validation, test = params.shares()
    drawn = _keyed(rows, params) if params.key else _drawn(rows, params.seed)
    draw = pl.col(drawn.name)
    part = pl.when(draw < test).then(pl.lit("test")).when(draw < test + validation).then(pl.lit("validation"))
    return _labels(drawn.to_frame().lazy(), part.otherwise(pl.lit("train")))


def _stratified(rows: pl.LazyFrame, params: SplitParams) -> pl.Series:
    """Return the part of each row by systematic sampling of the rows ordered by class, and by a draw within it (Cochran, Sampling Techniques, 1977, chapter 8)."""
    import numpy as np
    import polars as pl

    from mlopsfw.training.folds import codes_of

    classes = _classes(rows, params.stratify)
    draw = np.random.Generator(np.random.PCG64(params.seed))
    order = np.lexsort((draw.random(len(classes)), codes_of(classes)))
    validation, test = params.shares()
    held_out = order[_every(len(order), validation + test, draw.random())]
    labels = np.zeros(len(classes), dtype=np.uint32)
    labels[held_out] = PARTS.index("validation")
    if test:
        share = test / (validation + test)
        labels[held_out[_every(len(held_out), share, draw.random())]] = PARTS.index("test")
    return pl.Series(_PART, labels).replace_strict(range(len(PARTS)), PARTS, return_dtype=pl.Enum(PARTS))


def _every(count: int, share: float, start: float) -> np.ndarray:
    """Return for each of `count` places whether it is chosen: of any stretch of them `share`, give or take one."""
    import numpy as np

    chosen: np.ndarray = np.diff(np.floor(np.arange(count + 1) * share + start)) > 0
    return chosen


def _classes(rows: pl.LazyFrame, name: str) -> pl.Series:
    import polars as pl

    kind = rows.collect_schema()[name]
    if kind.is_float() or kind.is_nested():
        hint = "Name a column of texts, integers or booleans, or omit it."
        raise DataError(f"stratify: column {name!r} holds {kind}, no classes", hint=hint)
    parts = [part.to_series() for part in computed(rows.select(name))]
    return pl.concat(parts) if parts else pl.Series(name, dtype=kind)


def _keyed(rows: pl.LazyFrame, params: SplitParams) -> pl.Series:
    """Return a number in [0, 1) for each row's key, by MurmurHash3 of its text: the same on every machine and release."""
    import numpy as np
    import polars as pl

    from mlopsfw_core.hashing import hash_indices

    texts = [pl.col(name).cast(pl.String).fill_null("\0") for name in params.key]
    keys = computed(rows.select(pl.concat_str(texts, separator="\x1f").alias("key")))
    found = [hash_indices(part["key"].to_arrow(), _BUCKETS, params.seed % (1 << 32)) for part in keys]
    return pl.Series("draw", np.concatenate(found)) / _BUCKETS


def _drawn(rows: pl.LazyFrame, seed: int) -> pl.Series:
    import numpy as np
    import polars as pl

    count = int(rows.select(pl.len()).collect(engine="streaming").item())
    return pl.Series("draw", np.random.Generator(np.random.PCG64(seed)).random(count))


def _by_column(rows: pl.LazyFrame, params: SplitParams) -> pl.Series:
    """Assign rows to parts by a column's text. A row with none of the values is in no part."""
    import polars as pl

    label = pl.lit(None, pl.String)
    text = pl.col(params.column).cast(pl.String)
    for name, values in (("train", params.train), ("validation", params.validation), ("test", params.test)):
        wanted = list(values) if isinstance(values, tuple) else [str(values)]
        label = pl.when(text.is_in([value for value in wanted if value])).then(pl.lit(name)).otherwise(label)
    return _labels(rows, label)
