"""The component `serving`: endpoints with their revisions, and the predictions that they captured."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from mlopsfw.kernel.base.errors import InvalidReference, UnknownName
from mlopsfw.kernel.component import Component, Edge, Fact, ReferenceKind
from mlopsfw.serving.checks import checks
from mlopsfw.serving.events import EVENTS
from mlopsfw.serving.index_tables import INDEX

if TYPE_CHECKING:
    from mlopsfw.kernel.component import Holding
    from mlopsfw.kernel.index import Index
    from mlopsfw.kernel.ledger import Ledger
    from mlopsfw.serving.captures import Captures
    from mlopsfw.serving.endpoints import Endpoints

_SCHEME = "endpoints:/"
_PREDICTION = re.compile(r"predictions:/(?P<endpoint>[a-z0-9][a-z0-9._-]{0,99})/(?P<id>.+)", re.DOTALL)


def component(
    endpoints: Callable[[], Endpoints],
    captures: Callable[[], Captures],
    holdings: Callable[[], Iterable[Holding]],
    tables: Callable[[], Iterable[str]],
) -> Component:
    """Return the component; all are asked for when it is used."""
    revisions, predictions = _Revisions(), _Predictions(captures)
    kinds = (
        ReferenceKind(scheme="endpoints", exact=revisions.exact, facts=revisions.facts, colour="orange"),
        ReferenceKind(
            scheme="predictions",
            exact=predictions.exact,
            facts=predictions.facts,
            edges=predictions.edges,
            colour="purple",
        ),
    )
    return Component(
        name="endpoints",
        events=EVENTS,
        index=INDEX,
        edges=edges,
        references=kinds,
        checks=checks(endpoints),
        holdings=holdings,
        tables=tables,
    )


def table_names(endpoints: Endpoints, captures: Captures, ledger: Ledger) -> Iterator[str]:
    """Yield the names of the tables of predictions and of labels."""
    names = endpoints.list()
    yield from (f"captures/{name}" for name in {*names, *captures.local()})
    yield from {
        *ledger.streams("labels/"),
        *(f"labels/{change.model}" for name in names for change in endpoints.history(name)),
    }


def edges(index: Index) -> Iterator[Edge]:
    """Yield the model version that each revision of an endpoint served."""
    for row in index.query("SELECT * FROM revisions", fresh=False):
        source, target = f"models:/{row['model']}@{row['version']}", f"{_SCHEME}{row['endpoint']}@{row['revision']}"
        yield Edge(source, target, "served at")


class _Revisions:
    def exact(self, ref: str, index: Index) -> str:
        name, at, revision = ref.removeprefix(_SCHEME).partition("@")
        if at and not revision.isdecimal():
            raise InvalidReference(
                f"{ref!r} is not a reference", hint=f"Write {_SCHEME}NAME or {_SCHEME}NAME@REVISION."
            )
        sql = "SELECT max(revision) AS revision FROM revisions WHERE endpoint = ? AND revision = coalesce(?, revision)"
        newest = index.query(sql, (name, int(revision) if at else None))[0]["revision"]
        if newest is None:
            raise UnknownName(f"{ref} has served nothing", hint="`mlopsfw endpoints list` shows those there are.")
        return f"{_SCHEME}{name}@{newest}"

    def facts(self, ref: str, index: Index) -> Mapping[str, Fact]:
        name, _, revision = ref.removeprefix(_SCHEME).partition("@")
        sql = "SELECT time, seq FROM revisions WHERE endpoint = ? AND revision = ?"
        rows = index.query(sql, (name, revision), fresh=False)
        return {"time": Fact(rows[0]["time"], f"endpoint/{name}#{rows[0]['seq']}")} if rows else {}


class PredictionReference(NamedTuple):
    """A reference to a captured prediction: the endpoint that made it, and its id there, or its caller's where only one has it."""

    endpoint: str
    id: str


def parse_prediction(text: str) -> PredictionReference:
    """Parse `predictions:/ENDPOINT/ID`; raise `InvalidReference` if `text` is none."""
    match = _PREDICTION.fullmatch(text)
    if match is None:
        raise InvalidReference(f"{text!r} is not a reference to a prediction", hint="Write predictions:/ENDPOINT/ID.")
    return PredictionReference(match["endpoint"], match["id"])


class _Predictions:
    """Captured predictions. Their inputs, which may be personal, are not among the facts."""

    def __init__(self, captures: Callable[[], Captures]) -> None:
        self._captures = captures

    def exact(self, ref: str, _index: Index) -> str:
        self._row(ref)
        return ref

    def edges(self, ref: str, _index: Index) -> Iterator[Edge]:
        row = self._row(ref)
        endpoint = f"{_SCHEME}{parse_prediction(ref).endpoint}@{row['revision']}"
        yield Edge(f"models:/{row['model']}@{row['version']}", endpoint, "served at")
        yield Edge(endpoint, ref, "answered")

    def facts(self, ref: str, _index: Index) -> Mapping[str, Fact]:
        row = self._row(ref)
        return {"time": Fact(row["processed_time"].isoformat()), "bundle": Fact(row["bundle"])}

    def _row(self, ref: str) -> Mapping[str, Any]:
        named = parse_prediction(ref)
        return self._captures().find(named.endpoint, named.id)
