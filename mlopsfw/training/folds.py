"""Folds: which rows a model learns from and which rows judge it. Rows are known by their positions; nothing is trained here."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import msgspec

from mlopsfw.kernel.base.errors import ConfigError, DataError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.base.lazy import lazy
from mlopsfw.kernel.base.spans import duration
from mlopsfw.kernel.config.options import check_options

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from mlopsfw.data.tables.handle import TableHandle
    from mlopsfw.kernel.roles.training import TrainingData, TrainingTask
else:
    np = lazy("numpy")

Order = Literal["time", "purged", "random", "stratified", "group"]
_IN_TIME = ("time", "purged")
_NEVER = (1 << 63) - 1
_MICROSECOND = 1e-6  # seconds
_ROW = "\1row"


class Folds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How rows are divided into folds. Their event time is the `time` of what is trained.

    Args:
        by: `time` (each fold is later than the rows that its model learns from), `purged` (blocks of time, each judged
            by a model of the rows before and after it), `random`, `stratified` (random, each class alike in every fold)
            or `group` (rows of one group stay together). By default `time` where the rows have an event time, `group`
            where there is a group, `stratified` where the target has classes, else `random`.
        folds: How many folds. 1 is a hold-out.
        share: The share of the rows of a hold-out: the latest by `time`, else drawn.
        group: The column whose rows belong together, such as a customer. Intervals count groups instead of rows.
        label_delay: How long after its event a label is known, such as `7d`.
        label_time: The column that says so for each row, in place of `label_delay`.
        embargo: By `purged`: how long after a fold rows are left out too, such as `1d`.
        window: By `time`: how far back a model learns, such as `90d`; by default from the first row.
        shuffle_time: Consent to `random`, `stratified` or `group` although the rows have an event time.
    """

    by: Literal["", "time", "purged", "random", "stratified", "group"] = ""
    folds: Annotated[int, msgspec.Meta(ge=1)] = 5
    share: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.2
    group: str = ""
    label_delay: str = ""
    label_time: str = ""
    embargo: str = ""
    window: str = ""
    shuffle_time: bool = False

    def check(self, key: str) -> None:
        """Raise `ConfigError`, which names the key of these options and that of the wrong one."""
        try:
            check_options(self, label_delay=duration, embargo=duration, window=duration)
            self._check_together()
        except ConfigError as error:
            raise ConfigError(error.problem, key=f"{key}.{error.key}", hint=error.hint) from None

    def _check_together(self) -> None:
        if self.by == "group" and not self.group:
            raise ConfigError("folds by group need a column", key="group", hint='Write group = "NAME".')
        if self.label_delay and self.label_time:
            raise ConfigError("label_delay and label_time say the same", key="label_delay", hint="Omit one of them.")
        if self.by == "purged" and self.folds == 1:
            hint = 'Write folds = 5, or by = "time" for a hold-out.'
            raise ConfigError("purged folds are at least 2", key="folds", hint=hint)

    def order(self, task: TrainingTask) -> Order:
        """Return how the rows of a task are divided.

        Raises:
            ConfigError: The rows have an event time, and would be shuffled without consent; or have none, and need it. Or an option would
                be ignored.
        """
        by = self.by or self._default(task)
        for name, own in (("embargo", "purged"), ("window", "time")):
            if getattr(self, name) and by != own:
                message = f"{name} is for folds by {own}, and these are by {by}"
                raise ConfigError(
                    message, key=name, hint=f'Omit it, or write by = "{own}" and the event time of the rows.'
                )
        if by in _IN_TIME and not task.time:
            raise ConfigError(f"folds by {by} need an event time", key="time", hint='Write time = "NAME" in the step.')
        if by not in _IN_TIME and task.time and not self.shuffle_time:
            message = (
                f"the rows have an event time ({task.time!r}), and folds by {by} learn from rows after those judged"
            )
            hint = 'Write by = "time"; or shuffle_time = true, and the report says how optimistic these folds are.'
            raise ConfigError(message, key="by", hint=hint)
        return by

    def _default(self, task: TrainingTask) -> Order:
        if task.time:
            return "purged" if self.embargo else "time"
        if self.group:
            return "group"
        return "stratified" if task.task in ("binary", "multiclass") else "random"

    def columns(self, task: TrainingTask) -> list[str]:
        """Return the columns that `make_folds` reads."""
        names = (task.target, task.time, self.group, self.label_time)
        return list(dict.fromkeys(name for name in names if name))


class Fold(NamedTuple):
    """One division of the rows.

    Args:
        train: Positions of the rows to learn from, int64, ascending.
        validation: Positions of the rows that judge the model, likewise. A row may be in neither.
    """

    train: np.ndarray
    validation: np.ndarray


def make_folds(rows: pl.DataFrame, folds: Folds, task: TrainingTask) -> list[Fold]:
    """Return the folds of rows. Equal arguments give equal folds.

    Args:
        rows: The rows that have a label, with at least `folds.columns(task)`. By time, a row whose event time is null
            is in no fold, and rows of one moment are on one side. A null in the group is a group.
        folds: How to divide.
        task: Names target, event time and seed.

    Raises:
        ConfigError: As `Folds.order`.
        DataError: A column is missing or has another type, or a fold would have no rows.
    """
    for name in folds.columns(task):
        if name not in rows.columns:
            raise DataError(f"the rows have no column {name!r}", hint=nearest(name, rows.columns))
    if folds.folds > max(rows.height, 1):
        raise DataError(f"{folds.folds} folds need as many rows, not {rows.height}", hint="Write fewer folds.")
    by = folds.order(task)
    if by in _IN_TIME:
        made = list(_in_time(rows, folds, task, by))
    else:
        number = _fold_numbers(rows, folds, task, by)
        made = [_fold(number != at, number == at) for at in range(folds.folds)]
    _check(made, by)
    return made


def _fold(train: np.ndarray, validation: np.ndarray) -> Fold:
    return Fold(np.flatnonzero(train), np.flatnonzero(validation))


def _check(made: list[Fold], by: str) -> None:
    for at, fold in enumerate(made, 1):
        empty = [name for name, index in zip(Fold._fields, fold, strict=True) if not len(index)]
        if empty:
            hint = "Write fewer folds."
            if by in _IN_TIME:
                hint = "Write fewer folds, shorten delay and embargo, or lengthen the window."
            raise DataError(f"fold {at} of {len(made)} by {by} has no {empty[0]} rows", hint=hint)


# -- in the order of time ------------------------------------------------------------------------------------------------


def _in_time(rows: pl.DataFrame, folds: Folds, task: TrainingTask, by: str) -> Iterator[Fold]:
    """Yield folds in time. A row's label covers the time from its event until it is known.

    A model learns from rows whose label is known when the fold begins; `purged` also from rows after the fold's last label is known, and
    the embargo is over (López de Prado, Advances in Financial Machine Learning, 2018, section 7.4).
    """
    time = micros(rows, task.time)
    known = _known(rows, folds, time)
    there = time < _NEVER
    if not there.any():
        raise DataError(f"no row has an event time in {task.time!r}", hint="Name another column, or fill it.")
    edges = _edges(np.sort(time[there]), folds, by)
    for start, end in itertools.pairwise(edges):
        validation = there & (time >= start) & (time < end)
        before = (time < start) & (known <= start)
        if folds.window:
            before &= time >= start - _span(folds.window)
        if by == "time":
            yield _fold(before, validation)
            continue
        last = known[validation & (known < _NEVER)].max(initial=end)
        after = there & (known < _NEVER) & (time >= end) & (time >= last + _span(folds.embargo))
        yield _fold(before | after, validation)


def _edges(time: np.ndarray, folds: Folds, by: str) -> list[int]:
    """Return the first moment of each fold, and one past the last, from sorted times: folds of equal share, as far as ties let them."""
    if folds.folds == 1:
        places = [int(len(time) * (1 - folds.share))]
    else:
        blocks = folds.folds + (by == "time")  # the first block is only learned from
        places = [len(time) * at // blocks for at in range(by == "time", blocks)]
    return [*(int(time[place]) for place in places), int(time[-1]) + 1]


def _known(rows: pl.DataFrame, folds: Folds, time: np.ndarray) -> np.ndarray:
    """Return when each label is known, in microseconds."""
    if folds.label_time:
        known: np.ndarray = np.maximum(micros(rows, folds.label_time), time)
        return known
    return np.where(time < _NEVER, time + _span(folds.label_delay), _NEVER)


def micros(rows: pl.DataFrame, name: str) -> np.ndarray:
    """Return a column of dates or datetimes in microseconds; the largest number for null. Raise `DataError` if it holds others."""
    import polars as pl

    kind = rows.schema[name]
    if kind not in (pl.Date, pl.Datetime):
        raise DataError(
            f"column {name!r} is {kind}, not a date or datetime", hint="Convert it in a step before, or name another."
        )
    micros: np.ndarray = rows[name].cast(pl.Datetime("us")).to_physical().fill_null(_NEVER).to_numpy()
    return micros


def _span(text: str) -> int:
    return round(duration(text).total_seconds() / _MICROSECOND) if text else 0


# -- in any order --------------------------------------------------------------------------------------------------------


def _fold_numbers(rows: pl.DataFrame, folds: Folds, task: TrainingTask, by: str) -> np.ndarray:
    """Return the fold of each row, from 0. Of a hold-out, the rows of fold 0 judge."""
    draw = np.random.Generator(np.random.PCG64(task.seed))
    if by == "group":
        return _by_group(codes_of(rows[folds.group]), folds, draw)
    place: np.ndarray = draw.permutation(rows.height)
    if by == "stratified":
        place = _by_class(rows[task.target], place)
    if folds.folds > 1:
        fold: np.ndarray = place % folds.folds
        return fold
    drawn: np.ndarray = np.diff(np.floor(np.arange(rows.height + 1) * folds.share).astype(np.int64))[place]
    return 1 - drawn


def _by_class(target: pl.Series, place: np.ndarray) -> np.ndarray:
    """Return the place of each row where rows are sorted by class, and within a class by `place`."""
    if target.dtype.is_float():
        raise DataError(
            f"folds by stratified need classes, and the target {target.name!r} holds {target.dtype}",
            hint='Write by = "random".',
        )
    order = np.lexsort((place, codes_of(target)))
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    return places


def _by_group(codes: np.ndarray, folds: Folds, draw: np.random.Generator) -> np.ndarray:
    """Return the fold of each row: the largest group goes first, each to the fold that has the fewest rows. A hold-out draws groups."""
    sizes = np.bincount(codes)
    if len(sizes) < max(2, folds.folds):
        raise DataError(
            f"column {folds.group!r} has {len(sizes)} groups, fewer than {max(2, folds.folds)} folds",
            hint="Write fewer folds, or another group.",
        )
    if folds.folds == 1:
        drawn = draw.permutation(len(sizes))
        chosen = np.cumsum(sizes[drawn]) <= len(codes) * folds.share
        chosen[0] = True
        return np.isin(codes, drawn[~chosen]).astype(np.int64)
    fold_of = np.empty(len(sizes), dtype=np.int64)
    rows_in = np.zeros(folds.folds, dtype=np.int64)
    for group in np.argsort(-sizes, kind="stable"):
        fold_of[group] = rows_in.argmin()
        rows_in[fold_of[group]] += sizes[group]
    of_rows: np.ndarray = fold_of[codes]
    return of_rows


def codes_of(column: pl.Series) -> np.ndarray:
    """Return each value as a code from 0, in the order of the first row of each; null is a value."""
    import polars as pl

    firsts = column.unique(maintain_order=True)
    codes = pl.DataFrame({"value": firsts}).with_row_index("code")
    joined = pl.DataFrame({"value": column}).join(
        codes, on="value", how="left", nulls_equal=True, maintain_order="left"
    )
    found: np.ndarray = joined["code"].cast(pl.Int64).to_numpy()
    return found


# -- the rows of a fold --------------------------------------------------------------------------------------------------


def rows_at(data: TrainingData, index: np.ndarray, copy: Path) -> TableHandle:
    """Return the rows of a handle at ascending positions, as a handle: none is read before a trainer asks for rows.

    Args:
        data: All rows.
        index: int64 positions.
        copy: Where the rows are written as an Arrow file, if the trainer reads batches.
    """
    import polars as pl

    from mlopsfw.data.tables.handle import TableHandle

    digest = hashlib.sha256(f"{data.digest} {len(index)}".encode() + np.ascontiguousarray(index).tobytes()).hexdigest()
    chosen = pl.Series(index, dtype=pl.UInt32).implode()
    frame = data.lazy().with_row_index(_ROW).filter(pl.col(_ROW).is_in(chosen)).drop(_ROW)
    return TableHandle(frame, len(index), digest, copy)
