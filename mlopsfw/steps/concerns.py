"""What the step `evaluate` measures besides quality: how a model treats groups of rows, and how fast it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.base.ids import nearest

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from mlopsfw.models.fairness import Numbers, Outcomes
    from mlopsfw.pipeline.graph.step import StepContext
    from mlopsfw.steps.scored import Scored

_TOGETHER = "intersection"
_MAIN = ("demographic_parity_difference", "mean_answer_difference")


class Bias(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.evaluate.bias]`: how the model treats groups.

    Args:
        by: Columns whose values define the groups. With several, their combinations are judged too, as `intersection`.
        threshold: The probability from which a classifier decides for the positive class.
        positive: The class whose choice is judged: by default the second of two.
    """

    by: tuple[str, ...] = ()
    threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    positive: str = ""

    def __post_init__(self) -> None:
        if len(self.by) > 1 and _TOGETHER in self.by:
            raise UsageError(f"bias.by: {_TOGETHER!r} stands for all columns together", hint="Rename that column.")


def bias_of(bias: Bias, scored: Scored, clusters: np.ndarray, fewest: int) -> dict[str, Any]:
    """Return how the model treats the groups of each column, and of all columns together.

    Args:
        bias: The columns.
        scored: The model and the rows.
        clusters: int64 code of each row's cluster, from 0.
        fewest: Rows that a group needs.

    Raises:
        UsageError: A column or the class is not there, or the task has no groups to compare.
    """
    from mlopsfw.models.fairness import groups_of, measure

    answers, result = _answers(bias, scored), {}
    for name, texts in _columns(bias.by, scored.rows).items():
        groups = groups_of(texts, fewest=fewest)
        judged = measure(answers, groups.codes, groups.names, clusters, scored.weights) if groups.names else {}
        result[name] = {**judged, "small": groups.small, "groups_left_out": groups.left_out}
    return result


def _columns(by: Sequence[str], rows: pl.DataFrame) -> dict[str, np.ndarray]:
    import polars as pl

    columns(rows, by, "bias.by")
    texts = {name: pl.col(name).cast(pl.String).fill_null("null") for name in by}
    if len(by) > 1:
        texts[_TOGETHER] = pl.concat_str(list(texts.values()), separator=", ")
    return {name: rows.select(text.alias("text"))["text"].to_numpy() for name, text in texts.items()}


def columns(rows: pl.DataFrame, names: Sequence[str], option: str) -> None:
    """Raise `UsageError` for the first name of an option that is no column of the rows."""
    for name in names:
        if name not in rows.columns:
            raise UsageError(f"{option}: the rows have no column {name!r}", hint=nearest(name, rows.columns))


def _answers(bias: Bias, scored: Scored) -> Outcomes | Numbers:
    from mlopsfw.models.fairness import Numbers, Outcomes

    manifest = scored.bundle.manifest
    main = scored.outputs[manifest.outputs[0].name].astype(float)
    if manifest.task == "regression":
        return Numbers(scored.labels, main)
    if manifest.task not in ("binary", "multiclass"):
        raise UsageError(f"bias: groups cannot be compared for the task {manifest.task!r}")
    classes = list(map(str, manifest.classes))
    positive = bias.positive or (classes[1] if manifest.task == "binary" else "")
    if positive not in classes:
        what = f"there is no class {positive!r}" if positive else "a model with several classes needs the positive one"
        raise UsageError(f"bias.positive: {what}", hint=nearest(positive, classes) or f"One of {', '.join(classes)}.")
    code = classes.index(positive)
    p = main[:, code] if main.ndim > 1 else main if code == 1 else 1 - main
    return Outcomes(scored.labels == code, p >= bias.threshold)


def speed_of(scored: Scored, count: int) -> dict[str, float]:
    """Return the latency of single rows in this process in milliseconds, as quantiles, and the rows per second of all rows together.

    Args:
        scored: The model and the rows.
        count: How many rows are scored, the first ones; one call before them is not measured.
    """
    from time import perf_counter

    import numpy as np

    times = []
    for at in range(-1, count):
        row = scored.rows.slice(max(at, 0) % scored.rows.height, 1)
        start = perf_counter()
        scored.bundle.predict_table(row)
        times.append(perf_counter() - start)
    start = perf_counter()
    scored.bundle.predict_table(scored.rows)
    p50, p99 = np.quantile(times[1:], [0.5, 0.99]) * 1e3
    return {
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "rows_per_second": scored.rows.height / (perf_counter() - start),
    }


def log_bias(context: StepContext, measured: Mapping[str, Any]) -> None:
    """Write the main gap of each column to the log and the metrics, and the groups that were left out."""
    from mlopsfw.models.registry.card_concerns import interval_text

    for column, judged in measured.items():
        gaps = {name: value for name, value in judged.items() if isinstance(value, Mapping) and "value" in value}
        for name, gap in gaps.items():
            context.log_metric(f"bias.{column}.{name}", gap["value"])
        main = next((name for name in _MAIN if name in gaps), "")
        said = f"{main.replace('_', ' ')} {interval_text(gaps[main])}" if main else "fewer than two groups to compare"
        left = f"; {judged['groups_left_out']} groups have too few rows" if judged["groups_left_out"] else ""
        context.log(f"bias by {column}: {said}{left}")
