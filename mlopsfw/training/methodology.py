"""What is doubtful about a validation, in words: each check looks at the rows or the folds, and trains nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from mlopsfw.models.bootstrap import FEWEST

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.models.metrics import MetricSet
    from mlopsfw.training.crossfit import Subject
    from mlopsfw.training.folds import Fold, Folds

_DIGITS = 3  # to which numbers of near-duplicates agree
_NOTABLE = 0.01  # the share of validation rows from which a warning is due
_RARE_SHARE, _RARE_ROWS = 0.05, 50
_OVERFIT = 0.5  # of what the training rows gain over chance is lost on the validation rows
_SHOWN = 5


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """A methodology warning.

    Args:
        about: `time`, `duplicates`, `imbalance`, `leakage`, `overfitting`, `learning_curve`, `classes`, `categories`,
            `columns` or `clusters`.
        says: What was seen, and what to do.
    """

    about: str
    says: str


def doubts_of_rows(
    subject: Subject, rows: pl.DataFrame, features: Sequence[str], folds: Folds, made: Sequence[Fold]
) -> Iterator[Doubt]:
    """Yield what is doubtful about the rows and how they are divided.

    Args:
        subject: The rows with a label.
        rows: Their columns.
        features: The columns to learn from.
        folds: How rows are divided.
        made: The folds.
    """
    yield from _time(subject, rows, folds)
    yield from _columns(rows, features)
    yield from _duplicates(rows.select(*features, subject.task.target), made)
    if subject.classes:
        yield from _imbalance(subject)
        yield from _classes(subject, folds, made)
    yield from _categories(rows.select(features), made)


def _time(subject: Subject, rows: pl.DataFrame, folds: Folds) -> Iterator[Doubt]:
    if subject.task.time or folds.shuffle_time:
        return
    times = [name for name, kind in rows.schema.items() if kind.is_temporal()]
    if times:
        says = (
            f"{_names(times)} holds times, and these folds are drawn at random: a model may have learned from rows after those that judge "
            f'it. Where that is the time of the event, write time = "{times[0]}".'
        )
        yield Doubt(about="time", says=says)


def _columns(rows: pl.DataFrame, features: Sequence[str]) -> Iterator[Doubt]:
    empty = [name for name in features if rows[name].null_count() == rows.height]
    if empty:
        yield Doubt(about="columns", says=f"{_names(empty)} is null in every row. Write it into `exclude`.")


def _duplicates(rows: pl.DataFrame, made: Sequence[Fold]) -> Iterator[Doubt]:
    """Yield a warning where validation rows have copies among the training rows, more than independent columns would give by chance."""
    import polars.selectors as cs

    plain = rows.select(~(cs.nested() | cs.binary() | cs.object()))
    if plain.width < rows.width or plain.width < 2:  # noqa: PLR2004 - a feature and the target
        return
    rounded = plain.with_columns(cs.float().round_sig_figs(_DIGITS), cs.string().str.strip_chars().str.to_lowercase())
    (exact, usual), (near, near_usual) = (_copies(each, made) for each in (plain, rounded))
    if any(share - chance >= max(_NOTABLE, chance) for share, chance in ((exact, usual), (near, near_usual))):
        also = f" ({near:.1%} where numbers count to {_DIGITS} digits and texts without case)" if near > exact else ""
        says = (
            f"{exact:.1%} of the validation rows have a copy among the rows that their model learned from{also}. Where copies are one "
            'event, drop them, or keep them together: folds = { group = "NAME" }.'
        )
        yield Doubt(about="duplicates", says=says)


def _copies(rows: pl.DataFrame, made: Sequence[Fold]) -> tuple[float, float]:
    """Return the share of validation rows that equal a training row of their fold, and that of rows whose columns are shuffled apart."""
    shuffled = rows.select(rows[name].sample(fraction=1, shuffle=True, seed=at) for at, name in enumerate(rows.columns))
    exact, usual = (_copied(each.hash_rows(17).to_numpy(), made) for each in (rows, shuffled))
    return exact, usual


def _copied(hashes: np.ndarray, made: Sequence[Fold]) -> float:
    """Return the share of validation rows that equal a training row of their fold."""
    copied = sum(int(np.isin(hashes[fold.validation], hashes[fold.train]).sum()) for fold in made)
    return copied / sum(len(fold.validation) for fold in made)


def _imbalance(subject: Subject) -> Iterator[Doubt]:
    counts = np.bincount(subject.labels, minlength=len(subject.classes))
    least = int(counts.argmin())
    share = counts[least] / counts.sum()
    if share < _RARE_SHARE or counts[least] < _RARE_ROWS:
        says = (
            f"class {subject.classes[least]!r} has {counts[least]:,} of {counts.sum():,} rows ({share:.1%}): accuracy says little; "
            "compare by auc or log_loss, and read the intervals."
        )
        yield Doubt(about="imbalance", says=says)


def _classes(subject: Subject, folds: Folds, made: Sequence[Fold]) -> Iterator[Doubt]:
    lacking: dict[int, list[str]] = {}
    counts = np.bincount(subject.labels, minlength=len(subject.classes))
    for number, fold in enumerate(made, 1):
        for side, index in zip(("training", "validation"), fold, strict=True):
            there = np.bincount(subject.labels[index], minlength=len(subject.classes)) > 0
            for code in np.flatnonzero(~there):
                lacking.setdefault(int(code), []).append(f"the {side} rows of fold {number}")
    for rare, places in list(lacking.items())[:_SHOWN]:
        says = f"class {subject.classes[rare]!r} is missing in {', '.join(places)}: metrics that need it leave these folds out. "
        yield Doubt(about="classes", says=says + _advice(int(counts[rare]), folds, folds.order(subject.task)))


def _advice(count: int, folds: Folds, by: str) -> str:
    """Return what to do about a class with `count` rows that a fold lacks."""
    if count <= max(2, folds.folds):
        return f"It has {count:,} rows in all: join it with another class, or leave its rows out."
    if by == "random":
        return 'Write by = "stratified", which gives each fold its share.'
    if by == "group":
        return f"It is in few values of {folds.group!r}: write fewer folds, or join it with another class."
    return (
        "Its rows are close together in time: write fewer folds, join it with another class, or begin with later rows."
    )


def _categories(rows: pl.DataFrame, made: Sequence[Fold]) -> Iterator[Doubt]:
    import polars.selectors as cs

    for name in rows.select(cs.string() | cs.categorical() | cs.enum()).columns:
        codes = rows[name].rank("dense").fill_null(0).to_numpy()
        share = 1 - _copied(codes, made)
        if share >= _NOTABLE:
            says = f"{share:.1%} of the validation rows have a value of {name!r} that their model has never seen, as rows to come may."
            yield Doubt(about="categories", says=says)


def overfitting(
    metric: str,
    metrics: MetricSet,
    learned: Mapping[str, float],
    judged: Mapping[str, float],
    chance: Mapping[str, float],
) -> Iterator[Doubt]:
    """Yield a warning where the validation rows keep less than half of what the training rows gain over chance."""
    if not all(metric in each for each in (learned, judged, chance)):
        return
    seen, unseen = (metrics.gain(metric, each[metric], chance[metric]) for each in (learned, judged))
    if seen > 0 and seen - unseen > _OVERFIT * seen:
        says = (
            f"{metric} is {learned[metric]:.3f} on the rows learned from and {judged[metric]:.3f} on the others (chance {chance[metric]:.3f}): "
            "the model remembers rows. Make it smaller, or regularise it."
        )
        yield Doubt(about="overfitting", says=says)


def rising(curve: Mapping[str, Any]) -> Iterator[Doubt]:
    """Yield a warning where twice the rows gave a better model, beyond chance."""
    if curve.get("better"):
        says = (
            f"with half of the training rows {curve['metric']} is {curve['rival']:.3f}, with all {curve['value']:.3f} (the gain is "
            f"{curve['low']:.3f} to {curve['high']:.3f}): the learning curve still rises, so more rows help."
        )
        yield Doubt(about="learning_curve", says=says)


def optimistic(gain: Mapping[str, Any]) -> Iterator[Doubt]:
    """Yield by how much shuffled folds look better than folds by time."""
    if "gain" in gain:
        ends = f" ({gain['low']:.3f} to {gain['high']:.3f})" if "low" in gain else ""
        chance = ", no more than chance explains" if "low" in gain and gain["low"] <= 0 <= gain["high"] else ""
        says = (
            f"these folds shuffle rows that have an event time: {gain['metric']} is {gain['value']:.3f}, and {gain['rival']:.3f} on the same "
            f"rows by time. They are optimistic by {gain['gain']:.3f}{ends}{chance}."
        )
        yield Doubt(about="time", says=says)


def few_clusters(clusters: Mapping[str, Any], intervals: Mapping[str, Any]) -> Iterator[Doubt]:
    """Yield a warning where there are too few clusters for an interval."""
    if not intervals:
        says = f"the rows are {clusters['count']} clusters ({clusters['of']}), too few for an interval; {FEWEST} are needed."
        yield Doubt(about="clusters", says=says)


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return "column " + ", ".join(map(repr, names[:_SHOWN])) + more
