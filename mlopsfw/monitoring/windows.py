"""Windows: the captured predictions of a span of event time with the labels received so far, one window per model version.

No window holds a prediction whose event time is further from the time of its answer than `[capture]` allows. Such a prediction never
decides where windows begin or end either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from mlopsfw.capturelog.times import EARLIEST, LATEST, Bounds
from mlopsfw.kernel.base.errors import NotFound
from mlopsfw.kernel.roles.monitoring import Window
from mlopsfw.monitoring.window_bounds import opening, stamp, tiles

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.kernel.config.model import CaptureConfig
    from mlopsfw.kernel.roles.metric import Metrics
    from mlopsfw.models.registry import Registry
    from mlopsfw.serving.captures import Captures
    from mlopsfw.serving.label_join import JoinedLabels
    from mlopsfw.serving.labels import Labels

MOST_BEFORE = 1000
"""How many windows before the median prediction the first window may begin, if the user names no start."""

_OF_THE_ANSWER = ("model", "version", "bundle", "revision", "client_request_id", "client_request_row")
"""Columns of captured predictions that say who answered whom: a window is of one version, and no monitor compares them."""


class Windows:
    """The captured predictions of a project, cut by event time.

    Args:
        captures: The captured predictions.
        labels: Their labels.
        models: The registered models.
        capture: How far an event time may be from the answer.
        metrics: Computes the metrics of models.
    """

    def __init__(
        self,
        captures: Captures,
        labels: Labels,
        models: Registry,
        capture: CaptureConfig,
        metrics: Metrics,
    ) -> None:
        self._captures, self._labels, self._models, self._capture = captures, labels, models, capture
        self._metrics = metrics

    def cut(self, endpoint: str, start: datetime, end: datetime, *, look: int = 1, looks: int = 1) -> list[Window]:
        """Return the window [start, end) of each model version that answered in it, oldest version first."""
        return [
            Window(
                endpoint=endpoint, model=model, version=version, start=stamp(start), end=stamp(end), rows=rows.drop(_OF_THE_ANSWER).to_arrow(),
                labels=joined.labels.to_arrow() if joined.labels.height else None, labels_aside=joined.aside,
                look=look, looks=looks, metrics=self._metrics,
            )
            for (model, version), rows, joined in self._by_version(endpoint, start, end)
        ]  # fmt: skip

    def span(self, endpoint: str) -> tuple[datetime, datetime]:
        """Return the event times of the first and last captured prediction. Raise `NotFound` if there is none."""
        import polars as pl

        time = pl.col("event_time")
        low, high = self._events(endpoint).select(low=time.min(), high=time.max()).collect().row(0)
        if low is None:
            raise NotFound(
                f"the endpoint {endpoint!r} has captured no prediction",
                hint="`mlopsfw endpoints list` shows what is served.",
            )
        return low, high

    def beginning(self, endpoint: str, every: timedelta, zone: tzinfo, now: datetime) -> datetime | None:
        """Return the start of the first window, or None if all predictions are newer than `now`.

        Windows begin with the day of the first prediction, but a few stray rows do not decide: the earliest 1% of rows are ignored, and at most
        `MOST_BEFORE` windows lie before the median row.
        """
        import polars as pl

        time = pl.col("event_time")
        rows = self._events(endpoint).filter(time <= now)
        quantiles = rows.select(early=time.quantile(0.01, "lower"), half=time.quantile(0.5, "lower"))
        early, median = quantiles.collect().row(0)
        return None if early is None else opening(max(early, median - MOST_BEFORE * every), zone)

    def occupied(
        self, endpoint: str, start: datetime, end: datetime, *, every: timedelta, zone: tzinfo
    ) -> Iterator[tuple[datetime, datetime]]:
        """Yield the spans of length `every` that lie wholly within [start, end] and hold a prediction, in order."""
        import polars as pl

        rows = self._events(endpoint, start, end).select(pl.col("event_time").dt.truncate("1m"))
        return tiles(rows.unique().collect().to_series().sort().to_list(), start, end, every=every, zone=zone)

    def count_labels(self, endpoint: str, spans: Sequence[tuple[datetime, datetime]]) -> list[int]:
        """Return how many rows of each span have a label by now."""
        import polars as pl

        start, end = min(low for low, _ in spans), max(high for _, high in spans)
        parts = [
            rows.join(joined.labels, on="prediction_id", how="semi")
            for _, rows, joined in self._by_version(endpoint, start, end, columns=["event_time"])
        ]
        if not parts:
            return [0] * len(spans)
        time = pl.col("event_time")
        inside = [
            time.is_between(low, high, closed="left").sum().alias(str(number))
            for number, (low, high) in enumerate(spans)
        ]
        return list(pl.concat(parts).select(inside).row(0))

    def set_aside(self, endpoint: str) -> int:
        """Return how many predictions no window holds, because their event time is too far from the time of their answer."""
        import polars as pl

        strays = self._captures.scan(endpoint).filter(~self._placed())
        return int(strays.select(pl.len()).collect().item())

    def _events(self, endpoint: str, start: datetime | None = None, end: datetime | None = None) -> pl.LazyFrame:
        """Return the predictions with event time in [start, end) that windows may hold."""
        return self._captures.scan(endpoint, start, end).filter(self._placed())

    def _placed(self) -> pl.Expr:
        import polars as pl

        bounds = Bounds.of(self._capture)
        event, answered = (pl.col(name).cast(pl.Int64) for name in ("event_time", "processed_time"))
        age, lead = (length // timedelta(microseconds=1) for length in (bounds.age, bounds.lead))
        return event.is_between(EARLIEST, LATEST, closed="left") & event.is_between(answered - age, answered + lead)

    def _by_version(
        self, endpoint: str, start: datetime, end: datetime, columns: Sequence[str] = ()
    ) -> Iterator[tuple[tuple[str, int], pl.DataFrame, JoinedLabels]]:
        """Yield each model version that answered in [start, end), oldest first, with its rows (all columns or `columns`) and their labels."""
        import polars as pl

        rows = self._events(endpoint, start, end)
        chosen = (rows.select("prediction_id", "model", "version", *columns) if columns else rows).collect()
        names = self._captures.names(endpoint, start, end).collect()
        cut = chosen.partition_by("model", "version", as_dict=True, include_key=True)
        for (model, version), part in sorted(cut.items(), key=lambda item: item[0]):
            asked = names.filter(pl.col("model") == model, pl.col("version") == version)
            asked = asked.join(part, on="prediction_id", how="semi")
            registered = self._models.model(model).get(str(version))
            yield (model, version), part, self._labels.of(endpoint, registered, asked)


def aside_sentence(rows: int) -> str:
    """Return a sentence about the `rows` predictions that no window holds, or an empty text for 0."""
    if not rows:
        return ""
    who = "One captured prediction is" if rows == 1 else f"{rows:,} captured predictions are"
    return f"{who} left out: the event time is further from the time of the answer than [capture] allows."
