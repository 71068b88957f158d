"""Runs as a table: one row for each, with its parameters and the last value of each metric. The index is read, no run is opened."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.pipeline.run.parameters import parameters

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.kernel.index import Index

STATUSES = ("running", "lost", "done", "failed", "refused", "interrupted")

_FACTS = ("run", "name", "status", "started", "seconds", "actor")
_RUNS = """SELECT run, pipeline AS name, status, started, seconds, actor, facts ->> '$.config' AS config
FROM runs WHERE (?1 = '' OR pipeline = ?1) AND (?2 = '' OR status = ?2) ORDER BY run DESC LIMIT ?3"""
_METRICS = """SELECT run, 'metrics.' || iif(step = '', name, step || '.' || name) AS name, value FROM metrics WHERE run IN (SELECT run
FROM runs WHERE (?1 = '' OR pipeline = ?1) AND (?2 = '' OR status = ?2) ORDER BY run DESC LIMIT ?3)"""
_PARAMS = """SELECT run, json_group_object(name, json(value)) AS params FROM params WHERE run IN (SELECT run
FROM runs WHERE (?1 = '' OR pipeline = ?1) AND (?2 = '' OR status = ?2) ORDER BY run DESC LIMIT ?3) GROUP BY run"""


def search(
    index: Index,
    config: Callable[[str], Mapping[str, Any]],
    name: str = "",
    status: str = "",
    limit: int = 1000,
) -> list[dict[str, Any]]:
    """Return runs, newest first, each as a flat record.

    Args:
        index: The index.
        config: Digest of the configuration of a pipeline's run → the configuration.
        name: Only runs called so.
        status: Only runs of this status.
        limit: How many at most.

    Returns:
        Records of `run`, `name`, `status`, `started`, `seconds`, `actor`, `params.NAME` and `metrics.NAME`. The parameters of a
        pipeline's step are `params.STEP.NAME`, its metrics `metrics.STEP.NAME`, the options of a trainer `params.trainer.NAME.OPTION`.

    Raises:
        UsageError: There is no such status, or `limit` is not positive.
    """
    if status and status not in STATUSES:
        raise UsageError(f"there is no status {status!r}", hint=f"Known: {', '.join(STATUSES)}.")
    if limit < 1:
        raise UsageError(f"the limit is {limit}", hint="Ask for one run or more.")
    which = (name, status, min(limit, 1 << 62))
    found = {row["run"]: row for row in index.query(_RUNS, which)}
    records = {run: {fact: row[fact] for fact in _FACTS} for run, row in found.items()}
    if not records:
        return []
    configured: dict[str, Mapping[str, Any]] = {"": {}}
    for run, row in found.items():
        digest = row["config"] or ""
        if digest not in configured:
            configured[digest] = {f"params.{name}": value for name, value in parameters(config(digest)).items()}
        records[run] |= configured[digest]
    for row in index.query(_PARAMS, which, fresh=False):
        if row["run"] in records:
            params: dict[str, Any] = msgspec.json.decode(row["params"])
            records[row["run"]] |= {f"params.{param}": value for param, value in params.items()}
    for row in index.query(_METRICS, which, fresh=False):
        if row["run"] in records:
            records[row["run"]][row["name"]] = math.nan if row["value"] is None else row["value"]
    return list(records.values())


def as_frame(records: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Return records as a table. A column of one type keeps it; where types differ, values are JSON texts."""
    import polars as pl

    records = list(records)
    names = list(dict.fromkeys((*_FACTS, *(name for record in records for name in record))))
    columns = {name: [record.get(name) for record in records] for name in names}
    columns["started"] = [datetime.fromisoformat(str(text)) for text in columns["started"]]
    frame = pl.DataFrame([_series(name, values) for name, values in columns.items()])
    return frame.with_columns(pl.col("started").cast(pl.Datetime("us", "UTC")), pl.col("seconds").cast(pl.Float64))


def _series(name: str, values: list[Any]) -> pl.Series:
    import polars as pl

    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and float in kinds:
        return pl.Series(name, values, pl.Float64)
    if len(kinds) > 1 or not kinds <= {int, str, bool, datetime}:
        values = [
            value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode()
            for value in values
        ]
    return pl.Series(name, values, pl.String if not kinds else None)
