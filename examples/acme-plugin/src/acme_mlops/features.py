"""Acme's feature store as a component. A set, `features:/NAME@VERSION`, is a blob of rows, computed of a version of a dataset."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any

import click
import msgspec

from acme_mlops import NoOptions
from mlopsfw import Provider, hookimpl
from mlopsfw.commands import pass_project
from mlopsfw.components import Check, Component, Diagnosis, Edge, Fact, Held, IndexPart, Listing, ReferenceKind, upsert
from mlopsfw.errors import MlopsfwError, UnknownName
from mlopsfw.events import Blob, EventRecord

if TYPE_CHECKING:
    from mlopsfw import Project
    from mlopsfw.components import ErasureScope, Index
    from mlopsfw.roles import Event, Host

STREAM = "plugin/component.features"
_TABLE = "CREATE TABLE acme_features (name TEXT, version INTEGER, source TEXT, time TEXT, seq INTEGER, PRIMARY KEY (name, version))"
_LISTING = "SELECT name, version, source, time FROM acme_features ORDER BY time DESC, name"
_SETS = "SELECT version, time, seq FROM acme_features WHERE name = ? AND version = coalesce(?, version) ORDER BY version DESC"


class FeaturesBuilt(EventRecord, frozen=True, kw_only=True):
    """A set of features was built of `source`, a dataset version, or built anew without a subject's rows."""

    type = "plugin.component.features.built"
    name: str
    version: int
    source: str
    rows: Blob


class FeatureStore:
    """The sets of features of one project."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def build(self, name: str, source: str, rows: Iterable[Mapping[str, Any]]) -> str:
        """Keep a new version of a set; return its reference."""
        version = 1 + max((built.version for built in self.sets().values() if built.name == name), default=0)
        self._append(FeaturesBuilt(name=name, version=version, source=source, rows=self._put(rows)))
        return f"features:/{name}@{version}"

    def sets(self) -> dict[str, FeaturesBuilt]:
        return dict(self._built())

    def rows(self, ref: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._host.blobs.get(self.sets()[ref].rows).splitlines()]

    def find(self, scope: ErasureScope) -> Held:
        counts = {ref: len(self._held(ref, scope)) for ref in self.sets() if ref in scope.reached}
        return Held({"features": {ref: count for ref, count in counts.items() if count}})

    def erase(self, scope: ErasureScope) -> Held:
        """Build those sets anew without them. Sets share blobs, so old blobs go last, also those of an erasure that was killed."""
        found, sets = self.find(scope), self.sets()
        for ref in found.recorded["features"]:
            theirs = self._held(ref, scope)
            others = self._put(row for row in self.rows(ref) if row not in theirs)
            self._append(msgspec.structs.replace(sets[ref], rows=others))
        if superseded := self._superseded(scope):
            scope.bury(superseded.items())
        return found

    def needs(self, dataset: str) -> Iterator[tuple[int, str]]:
        for ref, built in self.sets().items():
            name, _, version = built.source.removeprefix("data:/").partition("@")
            if name == dataset:
                yield int(version), f"{ref} was computed of it"

    def diagnose(self) -> Iterator[Diagnosis]:
        for ref, built in self.sets().items():
            if not self._is_stored(built.rows):
                yield Diagnosis("error", f"{ref}: its rows cannot be read", "Build it again.")

    def _superseded(self, scope: ErasureScope) -> dict[str, str]:
        """Return the stored blobs that sets had before they were built anew, each with the one that they have now."""
        sets = self.sets()
        current = {built.rows for built in sets.values()}
        old = {built.rows: sets[ref].rows for ref, built in self._built() if ref in scope.reached}
        return {blob: new for blob, new in old.items() if blob not in current and self._is_stored(blob)}

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

    def _held(self, ref: str, scope: ErasureScope) -> list[dict[str, Any]]:
        return [row for row in self.rows(ref) if not set(scope.subject.texts).isdisjoint(map(str, row.values()))]

    def _put(self, rows: Iterable[Mapping[str, Any]]) -> str:
        return self._host.blobs.put("\n".join(map(json.dumps, rows)).encode())

    def _append(self, record: EventRecord) -> None:
        self._host.emit(STREAM, record.type, record.body())


def _built(db: Connection, _: str, event: Event) -> None:
    built = FeaturesBuilt.of(event)
    keys, values = {"name": built.name, "version": built.version}, {"source": built.source, "time": event.time}
    upsert(db, "acme_features", keys, {**values, "seq": event.seq})


def _edges(index: Index) -> Iterator[Edge]:
    for row in index.query("SELECT name, version, source FROM acme_features", fresh=False):
        yield Edge(row["source"], f"features:/{row['name']}@{row['version']}", "computed into")


def _exact(ref: str, index: Index) -> str:
    name, at, version = ref.removeprefix("features:/").partition("@")
    sets = index.query(_SETS, (name, version if at else None))
    if not sets:
        raise UnknownName(f"there are no features {ref}")
    return f"features:/{name}@{sets[0]['version']}"


def _facts(ref: str, index: Index) -> Mapping[str, Fact]:
    name, _, version = ref.removeprefix("features:/").partition("@")
    row = index.query(_SETS, (name, version), fresh=False)[0]
    return {"time": Fact(row["time"], f"{STREAM}#{row['seq']}")}


def _component(_config: NoOptions, host: Host) -> Component:
    store, listing = FeatureStore(host), Listing("features", "each set of features, newest first", _LISTING)
    return Component(
        name="features",
        events=(FeaturesBuilt,),
        index=IndexPart(tables=_TABLE, changes={("plugin", FeaturesBuilt.type): _built}, listings=(listing,)),
        edges=_edges,
        references=(ReferenceKind(scheme="features", exact=_exact, facts=_facts, colour="red"),),
        needs=store.needs,
        holdings=lambda: (store,),
        checks=(Check("features", "The rows of every set of features can be read", store.diagnose),),
    )


@hookimpl
def mlopsfw_components() -> Iterable[Provider[Component]]:
    yield Provider("features", NoOptions, _component, "Acme's feature store")


@click.command("acme-build")
@click.argument("name")
@click.argument("dataset")
@pass_project
def build(project: Project, name: str, dataset: str) -> None:
    """Compute the feature set NAME from the newest version of DATASET."""
    version = project.datasets.resolve(dataset)
    rows = project.datasets.scan(version).collect().to_dicts()
    click.echo(FeatureStore(project.host("component.features")).build(name, f"data:/{dataset}@{version.version}", rows))


@hookimpl
def mlopsfw_commands() -> Iterable[click.Command]:
    yield build
