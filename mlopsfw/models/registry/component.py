"""The component `models`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

import msgspec

from mlopsfw.data.datasets.removal.needs import numbers_of
from mlopsfw.kernel.component import Component, Edge, Fact, ReferenceKind
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.lineage.references import parse_reference
from mlopsfw.models.registry.checks import checks
from mlopsfw.models.registry.events import EVENTS, VersionRegistered
from mlopsfw.models.registry.holding import ModelHolding
from mlopsfw.models.registry.index_tables import INDEX
from mlopsfw.models.registry.versions import CHAMPION

if TYPE_CHECKING:
    from mlopsfw.kernel.index import Index
    from mlopsfw.models.objectives import Objectives
    from mlopsfw.models.registry.catalog import Registry


class Ancestors(Protocol):
    """The part of the lineage that models need."""

    def origins(self, refs: Iterable[str]) -> Mapping[str, set[str]]:
        """Return, for each of some exact references, all its ancestors."""
        ...


def component(
    registry: Callable[[], Registry],
    lineage: Callable[[], Ancestors],
    index: Callable[[], Index],
    objectives: Callable[[], Objectives],
) -> Component:
    """Return the component. It reads its arguments only when it is used."""
    references = _References(registry)
    kind = ReferenceKind(
        scheme="models",
        exact=references.exact,
        facts=references.facts,
        artifact=references.artifact,
        colour="green",
    )

    def needs(name: str) -> Iterator[tuple[int, str]]:
        return _needs(name, index(), lineage())

    return Component(
        name="models",
        events=EVENTS,
        index=INDEX,
        edges=edges,
        references=(kind,),
        needs=needs,
        holdings=lambda: (ModelHolding(),),
        checks=checks(registry, objectives),
    )


def _needs(dataset: str, index: Index, lineage: Ancestors) -> Iterator[tuple[int, str]]:
    """Yield the versions of a dataset from which a model was made."""
    rows = index.query(
        """SELECT versions.model, versions.version, group_concat(alias, ', ') AS aliases
        FROM versions LEFT JOIN aliases ON aliases.model = versions.model AND aliases.version = versions.version
        GROUP BY versions.model, versions.version ORDER BY versions.model, versions.version"""
    )
    models = {f"models:/{row['model']}@{row['version']}": row["aliases"] for row in rows}
    for ref, made_from in lineage.origins(models).items():
        aliases = f" ({models[ref]})" if models[ref] else ""
        for version in numbers_of(dataset, made_from):
            yield version, f"{ref}{aliases} was made from it"


def edges(index: Index) -> Iterator[Edge]:
    """Yield the origins of model versions."""
    for row in index.query("SELECT model, version, facts FROM versions WHERE facts IS NOT NULL", fresh=False):
        registered = msgspec.json.decode(row["facts"], type=VersionRegistered)
        ref = f"models:/{row['model']}@{row['version']}"
        if registered.run:
            yield Edge(f"runs:/{registered.run}", ref, "registered")
        for dataset in registered.datasets:
            yield Edge(dataset, ref, "trained")


class _References:
    def __init__(self, registry: Callable[[], Registry]) -> None:
        self._registry = registry

    def exact(self, ref: str, index: Index) -> str:
        reference = parse_reference(ref, "models")
        sql = "SELECT latest AS version FROM models WHERE model = ?"
        params: tuple[str, ...] = (reference.name,)
        if reference.version is not None:
            sql = "SELECT version FROM versions WHERE model = ? AND version = ?"
            params = (*params, reference.selector)
        elif reference.selector != "latest":
            sql = "SELECT version FROM aliases WHERE model = ? AND alias = ?"
            params = (*params, reference.selector or CHAMPION)
        rows = index.query(sql, params)
        if not rows or rows[0]["version"] is None:
            return self._registry().resolve(ref).ref
        return f"models:/{reference.name}@{rows[0]['version']}"

    def artifact(self, ref: str) -> Artifact:
        version = self._registry().resolve(ref)
        return Artifact(kind="model", digest=version.bundle, blob=version.bundle, ref=version.ref)

    def facts(self, ref: str, index: Index) -> Mapping[str, Fact]:
        reference = parse_reference(ref, "models")
        where = (reference.name, reference.version)
        sql = "SELECT * FROM versions WHERE model = ? AND version = ? AND facts IS NOT NULL"
        rows = index.query(sql, where, fresh=False)
        if not rows:
            return {}
        aliases = index.query(
            "SELECT alias FROM aliases WHERE model = ? AND version = ? ORDER BY alias", where, fresh=False
        )
        event = f"model/{reference.name}#{rows[0]['seq']}"
        facts = {"aliases": Fact([row["alias"] for row in aliases])}
        facts |= {name: Fact(rows[0][name], event) for name in ("bundle", "time")}
        commit = msgspec.json.decode(rows[0]["facts"], type=VersionRegistered).code.commit
        return facts | ({"commit": Fact(commit, event)} if commit else {})
