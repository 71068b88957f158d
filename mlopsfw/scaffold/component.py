"""The component `sample`: dataset versions that are on hold, which `data vacuum` then keeps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec

from mlopsfw import Provider, hookimpl
from mlopsfw.components import Component, Edge, Fact, IndexPart, Listing, ReferenceKind, upsert
from mlopsfw.errors import UnknownName
from mlopsfw.events import EventRecord

if TYPE_CHECKING:
    from sqlite3 import Connection

    from mlopsfw.components import Index
    from mlopsfw.roles import Event, Host

STREAM = "plugin/component.sample"
_TABLE = '"sample holds"'  # of the index: no other component's table may be called so


class SampleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[component.sample]`: there is nothing to set."""


class Held(EventRecord, frozen=True, kw_only=True):
    """A version of a dataset was put on hold, or released.

    Args:
        hold: The hold's name.
        source: The version, such as `data:/orders@3`; empty where the hold was released.
    """

    type = "plugin.component.sample.held"
    hold: str
    source: str = ""


class SampleHolds:
    """The holds of one project."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def hold(self, name: str, source: str) -> None:
        """Put a version on hold; an empty `source` releases the hold."""
        self._host.emit(STREAM, Held.type, Held(hold=name, source=source).body())

    def sources(self) -> dict[str, str]:
        """Return the version that each hold keeps."""
        events = (Held.of(event) for event in self._host.events(STREAM) if event.type == Held.type)
        newest = {held.hold: held.source for held in events}
        return {name: source for name, source in newest.items() if source}

    def needs(self, dataset: str) -> Iterator[tuple[int, str]]:
        """Yield the versions of a dataset that are on hold, each with the reason."""
        for name, source in self.sources().items():
            held, _, version = source.removeprefix("data:/").partition("@")
            if held == dataset:
                yield int(version), f"the hold {name} keeps it"


def _held(db: Connection, _name: str, event: Event) -> None:
    held = Held.of(event)
    upsert(db, _TABLE, {"hold": held.hold}, {"source": held.source, "time": event.time, "seq": event.seq})


def _edges(index: Index) -> Iterator[Edge]:
    for row in index.query(f"SELECT hold, source FROM {_TABLE} WHERE source != ''", fresh=False):  # noqa: S608 - our own
        yield Edge(row["source"], f"sample:/{row['hold']}", "kept by")


def _exact(ref: str, index: Index) -> str:
    _facts(ref, index)
    return ref


def _facts(ref: str, index: Index) -> dict[str, Fact]:
    sql = f"SELECT source, seq FROM {_TABLE} WHERE hold = ?"  # noqa: S608
    rows = index.query(sql, (ref.removeprefix("sample:/"),), fresh=False)
    if not rows:
        raise UnknownName(f"there is no hold {ref}", hint="`mlopsfw index list sample` shows all holds.")
    return {"source": Fact(rows[0]["source"], f"{STREAM}#{rows[0]['seq']}")}


def _build(_config: SampleConfig, host: Host) -> Component:
    table = f"CREATE TABLE {_TABLE} (hold TEXT PRIMARY KEY, source TEXT, time TEXT, seq INTEGER)"
    listing = Listing("sample", "Holds on dataset versions", f"SELECT hold, source, time FROM {_TABLE} ORDER BY hold")  # noqa: S608
    return Component(
        name="sample",
        events=(Held,),
        index=IndexPart(tables=table, changes={("plugin", Held.type): _held}, listings=(listing,)),
        edges=_edges,
        references=(ReferenceKind(scheme="sample", exact=_exact, facts=_facts),),
        needs=SampleHolds(host).needs,
    )


@hookimpl
def mlopsfw_components() -> Iterable[Provider[Component]]:
    """Offer the component."""
    yield Provider("sample", SampleConfig, _build, "Dataset versions on hold")
