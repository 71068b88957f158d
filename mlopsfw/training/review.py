"""Rows whose label is doubtful, for people to look at: by confident learning, by large residuals, and where near-duplicates have two labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlopsfw.models.bundle.scoring import check_names

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.capturelog.classes import Class
    from mlopsfw.training.crossfit import Judged

COLUMNS = ("row", "label", "suggested", "score", "reason")
_DIGITS = 3
_NEAR_COLUMNS = 3  # rounded rows of fewer features are often equal by chance
_FAR = 5.0  # robust standard deviations of residuals
_MAD = 1.4826  # makes the median absolute deviation a standard deviation of normal numbers
_TINY = 1e-12


def review(
    rows: pl.DataFrame, judged: Judged, classes: Sequence[Class], target: str, features: Sequence[str]
) -> pl.DataFrame:
    """Return the doubtful rows, the most doubtful first.

    A class is suggested where the row's probability of it exceeds the mean probability that rows with this label get, and no other such class is
    likelier (Northcutt, Jiang & Chuang, Confident Learning, 2021, equations 1 and 2). A number is doubtful where its residual exceeds five
    standard deviations, by the median absolute deviation. Near-duplicates agree in all features, numbers to 3 digits and texts without case.

    Args:
        rows: The rows with a label.
        judged: Answers of models that did not learn from them.
        classes: The label values in order; empty for regression.
        target: The label's column.
        features: The columns to learn from.

    Returns:
        `row` (the position in `rows`), `label` (to be corrected), `suggested` (null where none is), `score` (0 to 1, the lower the more
        doubtful), `reason` (`answer` or `near-duplicates`), and the other columns of `rows` but a `label_time`, which was the old label's.

    Raises:
        DataError: The rows have a column of such a name that is not the target.
    """
    import polars as pl

    check_names((name for name in rows.columns if name != target), COLUMNS)
    found = [_by_answer(judged, classes), _twins(rows, judged, features)]
    doubtful = pl.concat([_labelled(each, rows[target], classes) for each in found])
    doubtful = doubtful.sort("score", "row", maintain_order=True).unique("row", keep="first", maintain_order=True)
    others = rows.drop(target, "label_time", strict=False)
    return pl.concat([doubtful, others[doubtful["row"]]], how="horizontal")


def _labelled(found: pl.DataFrame, target: pl.Series, classes: Sequence[Class]) -> pl.DataFrame:
    """Return found rows with their label, and with the suggestion as a label: a code becomes its class."""
    import polars as pl

    suggested = pl.col("suggested").cast(target.dtype if not classes else pl.Float64)
    if classes:
        names = pl.Series(list(classes))
        suggested = pl.lit(names).gather(pl.col("suggested").cast(pl.UInt32))
    label = target[found["row"]]
    plain = label if not classes or not isinstance(classes[0], str) else label.cast(pl.String)
    return found.with_columns(plain.alias("label"), suggested.alias("suggested")).select(COLUMNS)


def _found(at: np.ndarray, suggested: Sequence[float | None], score: np.ndarray, reason: str) -> pl.DataFrame:
    import polars as pl

    numbers = pl.Series(suggested, dtype=pl.Float64)
    return pl.DataFrame({"row": at.astype(np.int64), "suggested": numbers, "score": score}).with_columns(
        reason=pl.lit(reason)
    )


def _by_answer(judged: Judged, classes: Sequence[Class]) -> pl.DataFrame:
    main = judged.main.astype(np.float64)
    if not classes:
        return _by_residual(judged.at, main, judged.labels)
    p = np.stack([1 - main, main], axis=1) if main.ndim == 1 else main
    own = p[np.arange(len(p)), judged.labels]
    means = np.full(p.shape[1], np.inf)
    for code in np.unique(judged.labels):
        means[code] = p[judged.labels == code, code].mean()
    confident = np.where(p >= means, p, -1.0)
    likeliest = confident.argmax(axis=1)
    doubtful = confident.max(axis=1) > confident[np.arange(len(p)), judged.labels]  # in a tie the label stays
    at = np.flatnonzero(doubtful)
    score = (1 + own[at] - p[at, likeliest[at]]) / 2
    return _found(judged.at[at], likeliest[at].tolist(), score, "answer")


def _by_residual(at: np.ndarray, answers: np.ndarray, labels: np.ndarray) -> pl.DataFrame:
    residual = labels - answers
    spread = _MAD * float(np.median(np.abs(residual - np.median(residual)))) + _TINY
    far = np.flatnonzero(np.abs(residual) > _FAR * spread)
    return _found(at[far], answers[far].tolist(), spread / np.abs(residual[far]), "answer")


def _twins(rows: pl.DataFrame, judged: Judged, features: Sequence[str]) -> pl.DataFrame:
    """Return the rows that have a near-duplicate with another label. The label of most of them is suggested."""
    import polars as pl
    import polars.selectors as cs

    plain = rows.select(features).select(~(cs.nested() | cs.binary() | cs.object()))
    none = _found(np.array([], dtype=np.int64), [], np.array([]), "near-duplicates")
    if plain.width < max(len(features), _NEAR_COLUMNS) or judged.labels.dtype.kind == "f":
        return none
    rounded = plain.with_columns(cs.float().round_sig_figs(_DIGITS), cs.string().str.strip_chars().str.to_lowercase())
    codes = np.full(rows.height, -1)
    codes[judged.at] = judged.labels
    frame = pl.DataFrame({"row": np.arange(rows.height), "code": codes, "twin": rounded.hash_rows(17)}).filter(
        pl.col("code") >= 0
    )
    share = pl.len().over("twin", "code") / pl.len().over("twin")
    most = pl.col("code").mode().min().over("twin")
    twins = frame.with_columns(share=share, most=most, labels=pl.col("code").n_unique().over("twin")).filter(
        pl.col("labels") > 1
    )
    suggested = twins.select(pl.when(pl.col("most") != pl.col("code")).then("most")).to_series().to_list()
    return _found(twins["row"].to_numpy(), suggested, twins["share"].to_numpy(), "near-duplicates")
