"""The component `datasets`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.data.datasets.checks import checks
from mlopsfw.data.datasets.events import EVENTS, VersionRecord
from mlopsfw.data.datasets.index_tables import INDEX
from mlopsfw.data.datasets.removal.needs import of_bad_rows, of_tags
from mlopsfw.kernel.component import Component, Edge, Fact, ReferenceKind
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.lineage.references import parse_reference

if TYPE_CHECKING:
    from mlopsfw.data.datasets.catalog import Datasets
    from mlopsfw.kernel.component import Holding
    from mlopsfw.kernel.index import Index


def component(datasets: Callable[[], Datasets], holdings: Callable[[], Iterable[Holding]]) -> Component:
    """Return the component. It reads its arguments only when it is used."""

    def needs(name: str) -> Iterator[tuple[int, str]]:
        yield from of_tags(datasets(), name)
        yield from of_bad_rows(datasets(), name)

    def tables() -> Iterator[str]:
        from mlopsfw.data.datasets import store
        from mlopsfw.data.datasets.loading import bad_rows

        for name in datasets().names():
            yield store.table_name(name)
            yield bad_rows.table_name(name)

    return Component(
        name="datasets",
        events=EVENTS,
        index=INDEX,
        edges=edges,
        references=(_reference_kind(_References(datasets)),),
        needs=needs,
        holdings=holdings,
        tables=tables,
        checks=checks(datasets),
    )


def _reference_kind(references: _References) -> ReferenceKind:
    return ReferenceKind(
        scheme="data",
        exact=references.exact,
        facts=references.facts,
        artifact=references.artifact,
        colour="blue",
    )


def edges(index: Index) -> Iterator[Edge]:
    """Yield the origins of dataset versions."""
    for row in index.query("SELECT dataset, version, facts FROM datasets WHERE facts IS NOT NULL", fresh=False):
        made = msgspec.json.decode(row["facts"], type=VersionRecord)
        name, version = row["dataset"], row["version"]
        ref = f"data:/{name}@{version}"
        if made.run:
            yield Edge(f"runs:/{made.run}", ref, "committed")
        if made.restored:
            yield Edge(f"data:/{name}@{made.restored}", ref, "restored as", kind="followed")
            continue
        if source := made.uri or made.source:
            yield Edge(f"source:{source}", ref, "read into")
        if made.mode == "append" and version > 1:
            yield Edge(f"data:/{name}@{version - 1}", ref, "grew into", kind="followed")


class _References:
    def __init__(self, datasets: Callable[[], Datasets]) -> None:
        self._datasets = datasets

    def exact(self, ref: str, index: Index) -> str:
        reference = parse_reference(ref, "data")
        sql = "SELECT max(version) AS version FROM datasets WHERE dataset = ?"
        params: tuple[str | int, ...] = (reference.name,)
        if reference.version is not None:
            sql, params = f"{sql} AND version = ?", (*params, reference.version)
        elif reference.selector not in ("", "latest"):
            sql = "SELECT max(version) AS version FROM tags WHERE dataset = ? AND tag = ?"
            params = (*params, reference.selector)
        version = index.query(sql, params)[0]["version"]
        if version is None:
            return self._datasets().resolve(ref).ref
        return f"data:/{reference.name}@{version}"

    def artifact(self, ref: str) -> Artifact:
        version = self._datasets().resolve(ref)
        return Artifact(kind="dataset", digest=version.digest, ref=version.ref)

    def facts(self, ref: str, index: Index) -> Mapping[str, Fact]:
        reference = parse_reference(ref, "data")
        sql = "SELECT * FROM datasets WHERE dataset = ? AND version = ?"
        rows = index.query(sql, (reference.name, reference.version), fresh=False)
        if not rows:
            return {}
        row = rows[0]
        event = f"dataset/{reference.name}#{row['seq']}"
        facts = {name: Fact(row[name], event) for name in ("rows", "digest", "time")}
        return facts | ({"contract": Fact(row["verdict"])} if row["verdict"] else {})
