"""Replay flights as requests over HTTP, in order: one request per departure hour, labels for a day when the next is over."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

import polars as pl


@dataclass
class Tally:
    """What the client saw."""

    requests: int = 0
    rows: int = 0
    labels: int = 0
    failed: list[str] = field(default_factory=list)
    answered_by: dict[int, int] = field(default_factory=dict)


class Client:
    """One keep-alive connection to an endpoint; a connection that the server closes between requests is opened anew."""

    def __init__(self, url: str, model: str, inputs: list[str], tally: Tally) -> None:
        self.address = urlsplit(url).netloc
        self.model, self.inputs, self.tally = model, inputs, tally
        self._connection: http.client.HTTPConnection | None = None

    def predict(self, hour: pl.DataFrame, *, stamped: bool = True) -> list[str]:
        """Ask for one departure hour's flights; return the predictions' ids, by which labels are told later.

        Without `stamped` the event time is now, as for any client that says none: those are not part of the replayed year.
        """
        rows = hour.select(*self.inputs, *([_stamp("scheduled").alias("event_time")] if stamped else []))
        status, answer = self._post(f"/v2/models/{self.model}/infer", {"inputs": tensors(rows)})
        self.tally.requests += 1
        if status != HTTPStatus.OK:
            self.tally.failed.append(f"{status}: {answer}")
            return []
        version = int(answer["model_version"])
        self.tally.rows += rows.height
        self.tally.answered_by[version] = self.tally.answered_by.get(version, 0) + rows.height
        return answer["parameters"]["prediction_ids"]

    def label(self, flights: pl.DataFrame) -> None:
        """Tell what became of flights (`prediction_id`, `scheduled`, `late`): those that arrived, a day after they were due to leave."""
        known = flights.drop_nulls("late").select(
            "prediction_id", label="late", label_time=_stamp(pl.col("scheduled").dt.offset_by("1d"))
        )
        status, answer = self._post("/labels", {"labels": known.to_dicts()})
        if status == HTTPStatus.OK:
            self.tally.labels += known.height
        else:
            self.tally.failed.append(f"labels {status}: {answer}")

    def _post(self, path: str, body: object) -> tuple[int, dict]:
        data = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        for fresh in (False, True):
            if self._connection is None or fresh:
                self._connection = http.client.HTTPConnection(self.address, timeout=30)
            try:
                self._connection.request("POST", path, data, headers)
                response = self._connection.getresponse()
                answer = json.loads(response.read() or b"{}")
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                if fresh:
                    raise
                continue  # the server closed an idle connection: allowed by RFC 9112 §9.6, and nothing was answered
            if response.status == HTTPStatus.TOO_MANY_REQUESTS:
                time.sleep(float(response.headers["Retry-After"]))
                return self._post(path, body)
            if response.will_close:
                self._connection.close()
                self._connection = None
            return response.status, answer
        raise ConnectionError(path)


def tensors(rows: pl.DataFrame) -> list[dict]:
    """Return rows as the inputs of an Open Inference Protocol v2 request: one tensor a column."""
    kinds = {pl.String: "BYTES", pl.Float64: "FP64", pl.Int64: "INT64", pl.Boolean: "BOOL"}
    return [
        {"name": c.name, "shape": [rows.height], "datatype": kinds[c.dtype.base_type()], "data": c.to_list()}
        for c in rows.iter_columns()
    ]


def _stamp(time: str | pl.Expr) -> pl.Expr:
    expression = pl.col(time) if isinstance(time, str) else time
    return expression.dt.strftime("%Y-%m-%dT%H:%M:%SZ")


def days(flights: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield the flights of each local day, in order."""
    local = pl.col("scheduled").dt.convert_time_zone("America/New_York").dt.date()
    yield from flights.with_columns(day=local).partition_by("day", maintain_order=True, include_key=True)


def hours(day: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield the flights of each departure hour of a day, in order."""
    yield from day.with_columns(hour=pl.col("scheduled").dt.truncate("1h")).partition_by("hour", maintain_order=True)
