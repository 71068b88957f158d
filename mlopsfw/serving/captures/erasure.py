"""Captured predictions and labels without a subject's rows, in tables and in the append-logs of servers that go on writing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mlopsfw.capturelog import appendlog
from mlopsfw.data.datasets.bad_rows import table_name
from mlopsfw.data.tables.erasure import TableErasure, Which
from mlopsfw.kernel.base.errors import Conflict
from mlopsfw.serving.captures.compact import compact, put_aside

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.governance.subject import Subject
    from mlopsfw.project.facade import Project

_NOTICED = 3.0  # seconds in which a server notices, once a second, that its segment has gone, and writes no more to it


class Rows(NamedTuple):
    """How many rows of an endpoint are a subject's: predictions, and labels of them."""

    predictions: int
    labels: int


def found(project: Project, endpoint: str, subject: Subject) -> Rows:
    """Return how many rows of an endpoint are the subject's."""
    project.captures.compact(endpoint)
    tables = TableErasure(project.services)
    predictions = tables.count(f"captures/{endpoint}", subject.rows)
    if not predictions:
        return Rows(0, 0)
    ids = _ids(project, endpoint, subject)
    labels = sum(tables.count(f"labels/{model}", _of(ids)) for model in _models(project, endpoint))
    return Rows(predictions, labels)


def erase(project: Project, endpoint: str, subject: Subject, *, again: bool) -> Rows:
    """Remove them. The append-log first, then labels, then predictions: they tell which labels are meant.

    Args:
        project: The project.
        endpoint: The endpoint.
        subject: Who.
        again: Whether an erasure of the subject was cut short: rows that are gone may still stand in files that are not.
    """
    rows = found(project, endpoint, subject)
    if not (rows.predictions or again):
        return rows
    drain(project.captures.folder(endpoint), project)
    tables = TableErasure(project.services)
    ids = _ids(project, endpoint, subject)
    labels = sum(tables.remove(f"labels/{model}", _of(ids)) for model in _models(project, endpoint))
    return Rows(tables.remove(f"captures/{endpoint}", subject.rows), labels)


def erase_quarantine(project: Project, dataset: str, subject: Subject, *, again: bool) -> int:
    """Remove the bad rows in which the subject's texts stand, as `erase` does; return how many."""
    if not (again or in_quarantine(project, dataset, subject)):
        return 0
    return TableErasure(project.services).remove(table_name(dataset), _raw(subject))


def in_quarantine(project: Project, dataset: str, subject: Subject) -> int:
    """Return how many bad rows the subject's texts stand in."""
    return TableErasure(project.services).count(table_name(dataset), _raw(subject))


def drain(folder: Path, project: Project) -> None:
    """Move all that an endpoint's servers wrote so far into its tables, and leave no file with it, though they write on.

    A server's segment is renamed; the server notices within a second and opens another one. What it wrote until then is read.

    Raises:
        Conflict: A server goes on writing to a segment that is gone: it hangs.
    """
    renamed = put_aside(folder)
    end = time.monotonic() + _NOTICED
    while any(path.exists() and appendlog.is_open(path) for path in renamed) and time.monotonic() < end:
        time.sleep(0.1)
    sizes = {path: path.stat().st_size for path in renamed if path.exists()}
    compact(folder, project.tables)
    for path, size in sizes.items():
        if path.exists():
            if path.stat().st_size != size:
                raise Conflict(
                    f"a server still writes to {path}", hint="See that it is well (endpoints show); run it again."
                )
            path.unlink()
    for torn in folder.glob("*.torn"):  # its whole records are in the tables
        torn.unlink()


def _ids(project: Project, endpoint: str, subject: Subject) -> list[str]:
    """Return every id by which labels may name the subject's predictions: the server's, and those that clients chose."""
    import polars as pl

    if not project.datasets.tables.exists(f"captures/{endpoint}"):
        return []
    rows = project.tables.scan(f"captures/{endpoint}")
    theirs = subject.rows(rows.collect_schema())
    if theirs is None:
        return []
    ids = rows.filter(theirs).select("prediction_id")
    names = project.captures.names(endpoint).join(ids, on="prediction_id", how="semi")
    return (
        pl.concat([ids.select(called="prediction_id"), names.select(called="name")])
        .drop_nulls()
        .collect()["called"]
        .to_list()
    )


def _models(project: Project, endpoint: str) -> list[str]:
    return sorted({change.model for change in project.endpoints.history(endpoint)})


def _of(ids: list[str]) -> Which:
    import polars as pl

    return lambda _: pl.col("prediction_id").is_in(ids)


def _raw(subject: Subject) -> Which:
    import polars as pl

    def which(_: object) -> pl.Expr:
        return pl.any_horizontal(
            pl.col(name).str.contains(text, literal=True) for name in ("raw", "reason") for text in subject.texts
        )

    return which
