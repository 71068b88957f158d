"""Acme's feature store as a component: it takes part in lineage, retention, erasure, the index and `doctor`.

A set of features, `features:/NAME@VERSION`, is one blob of JSON rows, computed of one version of a dataset.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any

from mlopsfw.components import (
    Check,
    Component,
    Diagnosis,
    Edge,
    ErasureScope,
    Fact,
    Held,
    IndexPart,
    Listing,
    ReferenceKind,
    upsert,
)
from mlopsfw.errors import InvalidReference, MlopsfwError, UnknownName
from mlopsfw.events import Blob, EventRecord
from mlopsfw.roles import Artifact

if TYPE_CHECKING:
    from mlopsfw.components import Index
    from mlopsfw.roles import Event, Host

STREAM = "plugin/component.features"


class FeaturesBuilt(EventRecord, frozen=True, kw_only=True):
    """A set of features was built, or built anew without a subject's rows.

    Args:
        name, version: Of the set.
        source: The dataset version that it was computed of.
        rows: Blob of the rows.
    """

    type = "plugin.component.features.built"
    name: str
    version: int
    source: str
    rows: Blob


class FeatureStore:
    """The sets of features of one project.

    Args:
        host: What mlopsfw offers.
    """

    def __init__(self, host: Host) -> None:
        self._host = host

    def build(self, name: str, source: str, rows: Iterable[Mapping[str, Any]]) -> str:
        """Keep a new version of a set; return its reference."""
        version = 1 + max((built.version for built in self.sets().values() if built.name == name), default=0)
        self._append(FeaturesBuilt(name=name, version=version, source=source, rows=self._put(rows)))
        return f"features:/{name}@{version}"

    def sets(self) -> dict[str, FeaturesBuilt]:
        """Return every set by its reference, as it is now."""
        return dict(self._built())

    def rows(self, ref: str) -> list[dict[str, Any]]:
        """Return the rows of a set."""
        return [json.loads(line) for line in self._host.blobs.get(self.sets()[ref].rows).splitlines()]

    def artifact(self, ref: str) -> Artifact:
        """Return the file of JSON rows that a step gets whose input is `features:/NAME` or `features:/NAME@VERSION`."""
        newest = {name.partition("@")[0]: name for name in self.sets()}
        exact = newest.get(ref, ref)
        if exact not in self.sets():
            raise UnknownName(f"there are no features {ref}")
        rows = self.sets()[exact].rows
        return Artifact(kind="file", digest=rows, blob=rows, ref=exact)

    # -- what mlopsfw asks ---------------------------------------------------------------------------------------------

    def find(self, scope: ErasureScope) -> Held:
        """Return how many rows of sets that came of the dataset hold a text of the subject."""
        return Held({"features": {ref: len(held) for ref in self._reached(scope) if (held := self._held(ref, scope))}})

    def erase(self, scope: ErasureScope) -> Held:
        """Build those sets anew without them.

        Sets with equal rows share a blob, so no blob goes before every set has been read and built anew. What an erasure
        that was killed left behind goes with them.
        """
        found, sets = self.find(scope), self.sets()
        for ref in found.recorded["features"]:
            old, theirs = sets[ref], self._held(ref, scope)
            new = self._put(row for row in self.rows(ref) if row not in theirs)
            self._append(FeaturesBuilt(name=old.name, version=old.version, source=old.source, rows=new))
        if superseded := self._superseded(scope):
            scope.bury(superseded.items())
        return found

    def needs(self, dataset: str) -> Iterator[tuple[int, str]]:
        """Yield the versions of a dataset of which a set was computed."""
        for ref, built in self.sets().items():
            name, _, version = built.source.removeprefix("data:/").partition("@")
            if name == dataset:
                yield int(version), f"{ref} was computed of it"

    def diagnose(self) -> Iterator[Diagnosis]:
        """Answer whether the rows of every set can be read."""
        for ref in self.sets():
            try:
                self.rows(ref)
            except MlopsfwError as error:
                yield Diagnosis("error", f"{ref}: {error.message}", "Build it again.")

    def _superseded(self, scope: ErasureScope) -> dict[str, str]:
        """Return the stored blobs that sets had before they were built anew, each with the one that they have now."""
        sets = self.sets()
        current = {built.rows for built in sets.values()}
        return {
            built.rows: sets[ref].rows
            for ref, built in self._built()
            if ref in scope.reached and built.rows not in current and self._is_stored(built.rows)
        }

    def _is_stored(self, digest: str) -> bool:
        try:
            self._host.blobs.get(digest)
        except MlopsfwError:
            return False
        return True

    def _built(self) -> Iterator[tuple[str, FeaturesBuilt]]:
        for event in self._host.events(STREAM):
            if event.type == FeaturesBuilt.type:
                built = FeaturesBuilt.of(event)
                yield f"features:/{built.name}@{built.version}", built

    def _reached(self, scope: ErasureScope) -> list[str]:
        return [ref for ref in self.sets() if ref in scope.reached]

    def _held(self, ref: str, scope: ErasureScope) -> list[dict[str, Any]]:
        texts = set(scope.subject.texts)
        return [row for row in self.rows(ref) if texts & set(map(str, row.values()))]

    def _put(self, rows: Iterable[Mapping[str, Any]]) -> str:
        return self._host.blobs.put("\n".join(map(json.dumps, rows)).encode())

    def _append(self, record: EventRecord) -> None:
        self._host.emit(STREAM, record.type, record.body())


# -- the index, and what is read from it -------------------------------------------------------------------------------


def _built(db: Connection, _: str, event: Event) -> None:
    built = FeaturesBuilt.of(event)
    keys = {"name": built.name, "version": built.version}
    upsert(db, "acme_features", keys, {"source": built.source, "time": event.time, "seq": event.seq})


def _edges(index: Index) -> Iterator[Edge]:
    for row in index.query("SELECT name, version, source FROM acme_features", fresh=False):
        yield Edge(row["source"], f"features:/{row['name']}@{row['version']}", "computed into")


def _exact(ref: str, index: Index) -> str:
    name, at, version = ref.removeprefix("features:/").partition("@")
    if at and not version.isdecimal():
        raise InvalidReference(f"{ref!r} is not a reference", hint="Write features:/NAME or features:/NAME@VERSION.")
    sql = "SELECT max(version) AS version FROM acme_features WHERE name = ? AND version = coalesce(?, version)"
    newest = index.query(sql, (name, int(version) if at else None))[0]["version"]
    if newest is None:
        raise UnknownName(f"there are no features {ref}")
    return f"features:/{name}@{newest}"


def _facts(ref: str, index: Index) -> Mapping[str, Fact]:
    name, _, version = ref.removeprefix("features:/").partition("@")
    sql = "SELECT time, seq FROM acme_features WHERE name = ? AND version = ?"
    rows = index.query(sql, (name, version), fresh=False)
    return {"time": Fact(rows[0]["time"], f"{STREAM}#{rows[0]['seq']}")} if rows else {}


def features_component(host: Host) -> Component:
    """Return the component."""
    store = FeatureStore(host)
    return Component(
        name="features",
        events=(FeaturesBuilt,),
        index=IndexPart(
            tables="CREATE TABLE acme_features (name TEXT, version INTEGER, source TEXT, time TEXT, seq INTEGER,"
            " PRIMARY KEY (name, version))",
            changes={("plugin", FeaturesBuilt.type): _built},
            listings=(
                Listing(
                    "features",
                    "each set of features, newest first",
                    "SELECT name, version, source, time FROM acme_features ORDER BY time DESC, name",
                ),
            ),
        ),
        edges=_edges,
        references=(
            ReferenceKind(scheme="features", exact=_exact, facts=_facts, artifact=store.artifact, colour="red"),
        ),
        needs=store.needs,
        holdings=lambda: (store,),
        checks=(Check("features", "The rows of every set of features can be read", store.diagnose),),
    )
