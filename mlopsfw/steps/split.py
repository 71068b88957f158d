"""The built-in step `split`: split rows into train, validation and test, by time, by share or by a column's values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from mlopsfw.data.tables.calendar import instant_literal
from mlopsfw.data.tables.digest import computed
from mlopsfw.kernel.base.errors import ConfigError, DataError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.base.spans import duration, instant
from mlopsfw.kernel.roles.hookspecs import hookimpl
from mlopsfw.kernel.roles.provider import Provider
from mlopsfw.kernel.roles.step import Step
from mlopsfw.pipeline.graph.options import check_options
from mlopsfw.pipeline.graph.step import StepContext

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from mlopsfw.kernel.roles.host import Host

PARTS = ("train", "validation", "test")
_EXAMPLES = {"time": '"2013-03-01"', "fraction": "0.2", "column": '["b"]'}
_BUCKETS = 1 << 30
_PART = "\1part"  # no user has such a column


class SplitParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.split]`.

    Args:
        by: `time`, `fraction` or `column`.
        column: By time: the column of dates or datetimes. By column: the column whose values name the part.
        validation: By fraction: its share, 0 to 1. By time: its start; empty for none. By column: its values.
        test: Likewise. By time the three parts follow each other: train, validation, test.
        train: By column: its values; otherwise the remaining rows.
        label_delay: By time: how long after its event a label is known, such as `7d`. Rows of train and validation whose label is not known
            when the next part begins are left out: their labels overlap those that judge.
        start: By time: leave out rows before it.
        end: By time: leave out rows from it on.
        key: By fraction: columns whose values decide the part, so that rows of one key stay together, and keep their part when
            rows are added. Without it each row is drawn by itself.
        stratify: By fraction: a column of classes, such as the target. Each class has the same share in every part, give or take two rows.
        seed: By fraction: the seed of the draw.
        shuffle_time: By fraction: consent to draw rows although they have a column of dates or datetimes. A model then learns from
            rows later than those that judge it.
    """

    by: Literal["time", "fraction", "column"]
    column: str = ""
    validation: float | str | tuple[str, ...] = ""
    test: float | str | tuple[str, ...] = ""
    train: str | tuple[str, ...] = ()
    label_delay: str = ""
    start: str = ""
    end: str = ""
    key: tuple[str, ...] = ()
    stratify: str = ""
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0
    shuffle_time: bool = False

    def __post_init__(self) -> None:
        limits = (self.validation, self.test)
        if self.by != "fraction" and not self.column:
            raise ConfigError(f"a split by {self.by} needs a column", key="column", hint='Write column = "NAME".')
        if self.stratify and (self.by != "fraction" or self.key):
            why = "keeps the rows of a key together" if self.by == "fraction" else "draws no rows"
            message = f"a split by {self.by} {why}, and so cannot stratify"
            raise ConfigError(message, key="stratify", hint='Omit it, or write by = "fraction" without key.')
        if self.by == "column" and not self.train:
            raise ConfigError("a split by column needs the values of train", key="train", hint='Write train = ["a"].')
        if self.validation in ("", ()) and self.test in ("", ()):
            message = f"a split by {self.by} needs validation, test or both: all rows would be in train"
            raise ConfigError(message, key="by", hint=f"Write test = {_EXAMPLES[self.by]}.")
        if self.by == "fraction":
            self._check_shares()
        elif any(isinstance(limit, float) for limit in limits):
            what = 'a date, such as test = "2013-03-01"' if self.by == "time" else 'values, such as test = ["b"]'
            raise ConfigError(f"a split by {self.by} takes no share", key=self._first(float), hint=f"Write {what}.")
        if self.by == "time":
            if any(isinstance(limit, tuple) for limit in limits):
                hint = 'Write test = "2013-03-01".'
                raise ConfigError("a split by time takes dates, no list", key=self._first(tuple), hint=hint)
            check_options(self, validation=instant, test=instant, start=instant, end=instant, label_delay=duration)
        elif self.label_delay:
            message = f"a split by {self.by} knows no time, and so no label_delay"
            raise ConfigError(message, key="label_delay", hint='Omit it, or write by = "time".')

    @property
    def asked(self) -> set[str]:
        """The parts that must get rows. By fraction a share of 0 asks for none."""
        given = {name for name in ("validation", "test") if getattr(self, name) not in ("", (), 0)}
        return given | {"train"}

    def _check_shares(self) -> None:
        hint = "Write test = 0.2."
        for name in ("validation", "test"):
            share = getattr(self, name)
            if share != "" and not (isinstance(share, int | float) and 0 <= share < 1):
                raise ConfigError(f"a split by fraction takes shares in [0, 1), not {share!r}", key=name, hint=hint)
        if sum(self.shares()) >= 1:
            message = "the shares of validation and test leave no rows to train on"
            raise ConfigError(message, key="test", hint="Their sum must be less than 1.")

    def _first(self, kind: type) -> str:
        return "validation" if isinstance(self.validation, kind) else "test"

    def shares(self) -> tuple[float, float]:
        """Return the shares of validation and test rows, by fraction."""
        validation, test = (
            float(share) if isinstance(share, int | float) else 0.0 for share in (self.validation, self.test)
        )
        return validation, test


def _run(params: SplitParams, context: StepContext) -> Mapping[str, Any]:
    import polars as pl

    rows: pl.LazyFrame = context.load("rows", pl.LazyFrame)
    there = rows.collect_schema()
    for name in (params.column, params.stratify, *params.key):
        if name and name not in there:
            raise DataError(f"step {context.step}: there is no column {name!r}", hint=nearest(name, there))
    if params.by == "fraction" and not params.shuffle_time:
        _check_untimed(there, context.step)
    labels = deal(rows, params)
    counts = {name: int((labels == name).sum()) for name in PARTS}
    context.log(", ".join(f"{name} {count:,}" for name, count in counts.items()) + f" of {len(labels):,} rows")
    empty = [name for name in PARTS if name in params.asked and not counts[name]]
    if empty:
        raise DataError(f"step {context.step} leaves no rows for {' and '.join(empty)}", hint=_limits(rows, params))
    return {name: context.values.store_frames(part) for name, part in split(rows, labels).items()}


def _check_untimed(columns: Mapping[str, pl.DataType], step: str) -> None:
    """Raise `DataError` where rows may have an event time, so that a draw would put later rows into train than into test."""
    import polars as pl

    times = [name for name, kind in columns.items() if kind in (pl.Date, pl.Datetime)]
    if times:
        hint = f'Write by = "time", column = "{times[0]}"; or shuffle_time = true if no order in time matters.'
        message = (
            f"column {times[0]!r} holds times, and by fraction a model learns from rows later than those that judge it"
        )
        raise DataError(f"step {step}: {message}", hint=hint)


def _limits(rows: pl.LazyFrame, params: SplitParams) -> str:
    """Return a hint that shows what the limits are to be compared with."""
    import polars as pl

    if params.by == "fraction":
        return "Raise its share, or add rows."
    column = pl.col(params.column)
    if params.by == "column":
        seen = rows.select(column.cast(pl.String).unique().sort().head(10)).collect(engine="streaming").to_series()
        return f"The values of {params.column!r} are {', '.join(map(str, seen))}."
    least, most = rows.select(least=column.min(), most=column.max()).collect(engine="streaming").row(0)
    return f"{params.column!r} goes from {least} to {most}."


def deal(rows: pl.LazyFrame, params: SplitParams) -> pl.Series:
    """Return the part of each row, null for none; one byte a row."""
    return {"time": _by_time, "fraction": _by_fraction, "column": _by_column}[params.by](rows, params)


def split(rows: pl.LazyFrame, labels: pl.Series) -> dict[str, Iterator[pl.DataFrame]]:
    """Return train, validation and test rows, part by part, each in the order of `rows`. No row is in two of them."""
    return {name: _those(rows, labels == name) for name in PARTS}


def _those(rows: pl.LazyFrame, chosen: pl.Series) -> Iterator[pl.DataFrame]:
    start = 0
    for part in computed(rows):
        yield part.filter(chosen.slice(start, part.height))
        start += part.height


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


def build(params: SplitParams, _host: Host) -> Step:
    """Return the step with these options."""
    return Step(
        run=partial(_run, params),
        inputs=("rows",),
        outputs=PARTS,
        version=2,
    )


@hookimpl
def mlopsfw_steps() -> Iterable[Provider[Step]]:
    """Offer the step `split`."""
    yield Provider(
        "split", SplitParams, build, "Split rows into train, validation and test, by time, share or a column"
    )
