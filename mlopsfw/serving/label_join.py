"""Find the prediction of each label, and its class of the model. Tables in, tables out.

A label names its prediction by the server's id. It may also use the client's own id, `<request id>` or `<request id>-<row>`, if that means
exactly one prediction: only one had this id, at the endpoint of the label, when the label arrived. A label with several possible predictions,
or with no class of the model, joins nothing; it is counted.

"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from mlopsfw.capturelog.labels import as_class
from mlopsfw.kernel.base.errors import DataError
from mlopsfw.serving.captures.frames import ARRIVAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlopsfw.kernel.roles.bundle import Manifest

AMBIGUOUS, NO_CLASS = "ambiguous id", "no class of the model"
_SIGNED = 1 << 63
_TEXT = r'^"([^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*"$'
"""A complete JSON text. Any other text in a table is shown unchanged."""


@dataclass(frozen=True)
class JoinedLabels:
    """The labels of some predictions.

    Args:
        labels: `prediction_id`, `label` in the type of the model's classes, `label_time`; at most one row a prediction.
        aside: Why a prediction's label was set aside → how many were.
    """

    labels: pl.DataFrame
    aside: Mapping[str, int] = field(default_factory=dict)


def last(labels: pl.LazyFrame) -> pl.LazyFrame:
    """Return, for each id, the label that arrived last."""
    ordered = labels.sort(ARRIVAL, nulls_last=False, maintain_order=True)
    return ordered.unique("prediction_id", keep="last", maintain_order=True)


def join(
    predictions: pl.DataFrame, named: pl.LazyFrame, labels: pl.LazyFrame, endpoint: str, manifest: Manifest
) -> JoinedLabels:
    """Return the labels of predictions.

    Args:
        predictions: Rows of `Captures.names`.
        named: All of the model's, with their `endpoint`.
        labels: Every label of the model, `LABEL_TABLE`.
        endpoint: Where the predictions were made. A client's own id that was labelled at another endpoint names none of them.
        manifest: Of the version that made them.
    """
    keys = pl.concat([predictions.select(key=name) for name in ("id", "name")]).drop_nulls().unique()
    arrived = labels.join(keys.lazy(), left_on="prediction_id", right_on="key", how="semi").collect()
    here = arrived.filter(pl.col("endpoint").is_null() | (pl.col("endpoint") == endpoint))
    by_id = _labelled(predictions, "id", arrived)
    by_name = _labelled(predictions, "name", here).filter(_earlier())
    unambiguous = by_name.join(_meaning_one(by_name, named), on="name", how="semi")
    matched = pl.concat([by_id.filter(pl.col("id").is_unique()), unambiguous]).sort(ARRIVAL, nulls_last=False)
    matched = matched.unique("prediction_id", keep="last", maintain_order=True)
    unclear = pl.concat([by_id, by_name]).join(matched, on="prediction_id", how="anti").height
    typed = matched.select("prediction_id", as_classes(matched["label"], manifest), "label_time")
    counts = {AMBIGUOUS: unclear, NO_CLASS: typed["label"].null_count()}
    return JoinedLabels(typed.drop_nulls("label"), {why: count for why, count in counts.items() if count})


def _labelled(predictions: pl.DataFrame, called: str, labels: pl.DataFrame) -> pl.DataFrame:
    chosen = last(labels.lazy()).collect().rename({"prediction_id": "key"})
    return predictions.join(chosen, left_on=called, right_on="key", nulls_equal=False)


def _earlier() -> pl.Expr:
    """Whether the prediction existed when its label arrived; true for rows of older versions, whose ids came from clients."""
    return pl.col("id").is_null() | (pl.col("processed_time") <= pl.col("received_time"))


def _meaning_one(by_name: pl.DataFrame, named: pl.LazyFrame) -> pl.DataFrame:
    """Return the names that meant one prediction when their labels arrived: at the label's endpoint, or at all for a label from a file."""
    if by_name.is_empty():
        return by_name.select("name")
    asked = by_name.lazy().select(asked="name", received_time="received_time", sent_to="endpoint").unique("asked")
    there = pl.col("sent_to").is_null() | (pl.col("sent_to") == pl.col("endpoint"))
    as_id = named.join(asked, left_on="id", right_on="asked").select(name="id")
    as_name = named.join(asked, left_on="name", right_on="asked").filter(_earlier(), there).select("name")
    return pl.concat([as_id, as_name]).group_by("name").len().filter(pl.col("len") == 1).collect()


def as_classes(labels: pl.Series, manifest: Manifest) -> pl.Series:
    """Return stored labels (JSON) as `as_class` reads them, in one type; null for a text that is no label of the model."""
    if not manifest.classes:
        numbers = labels.cast(pl.Float64, strict=False)
        return pl.select(pl.when(numbers.is_finite()).then(numbers).alias(labels.name)).to_series()
    texts = labels.unique().drop_nulls()
    classes = pl.Series([_class(text, manifest) for text in texts], dtype=_dtype(manifest.classes))
    return labels.replace_strict(texts, classes, default=None, return_dtype=classes.dtype)


def _class(text: str, manifest: Manifest) -> Any:
    try:
        return as_class(msgspec.json.decode(text), manifest)
    except (DataError, msgspec.MsgspecError):
        return None


def _dtype(classes: tuple[Any, ...]) -> Any:
    if any(isinstance(each, str) for each in classes):
        return pl.String
    if all(isinstance(each, bool) for each in classes):
        return pl.Boolean
    return pl.UInt64 if max(classes) >= _SIGNED else pl.Int64


def decoded(rows: pl.LazyFrame) -> pl.Expr:
    """Return `label` decoded from JSON: booleans, whole numbers, numbers or texts if all have this kind, else text."""
    label = pl.col("label")
    text, truth = label.str.contains(_TEXT), label.is_in(["true", "false"])
    number = label.cast(pl.Float64, strict=False).is_not_null()
    kinds = {
        "truth": truth, "number": number, "text": text,
        "signed": label.cast(pl.Int64, strict=False).is_not_null(), "unsigned": label.cast(pl.UInt64, strict=False).is_not_null(),
    }  # fmt: skip
    every = (each.fill_null(value=False).all().alias(name) for name, each in kinds.items())
    are = rows.select(every).collect().row(0, named=True)
    if are["truth"]:
        return label == "true"
    if are["number"]:
        return label.cast(pl.Int64 if are["signed"] else pl.UInt64 if are["unsigned"] else pl.Float64)
    quoted = pl.when(text).then(label).otherwise(pl.lit('""')).str.json_decode(pl.String)
    return pl.when(text).then(quoted).otherwise(label).alias("label")
