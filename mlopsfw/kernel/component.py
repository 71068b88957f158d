"""`Component`: what a part of a project says of itself.

The index, lineage, governance and operations ask components, and know none of them. A company's feature store takes
part in all of these by the hook `mlopsfw_components`, as each room of mlopsfw does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from mlopsfw.kernel.events.record import EventRecord
from mlopsfw.kernel.index import Index, IndexPart
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.kernel.roles.check import Check

Colour = Literal["soft", "blue", "green", "orange", "purple", "red"]
"""A colour of the pages' palette."""

# -- lineage -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Edge:
    """That one thing led to another. Things are exact references, such as `data:/flights@3`.

    Args:
        source: What was there first.
        target: What came of it.
        how: What the source did for it: `trained`, `read by`, `committed`, ….
        kind: `made`; `followed`, where the target holds all that is its own, as a version after another does; or
            `detail`, which says more exactly what other edges say, and is not shown.
    """

    source: str
    target: str
    how: str
    kind: Literal["made", "followed", "detail"] = field(default="made", compare=False)


class Fact(NamedTuple):
    """One fact about a reference.

    Args:
        value: A JSON value.
        event: The event that says so, `model/delay#3`; empty where none does.
    """

    value: Any
    event: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceKind:
    """What a component knows of the references of one scheme.

    Args:
        scheme: What they begin with, without `:/`.
        exact: Makes a reference exact: `models:/delay@champion` becomes `models:/delay@3`. Raises `InvalidReference`,
            and `UnknownName` where there is no such thing.
        facts: The facts about an exact reference by name.
        edges: What led to it, where there are too many such things for the index.
        artifact: What a step gets whose input is such a reference; None where a step can take none.
        colour: Of its boxes in drawings of the lineage.

    All but `artifact` are handed the index, which is at the ledger's head.
    """

    scheme: str
    exact: Callable[[str, Index], str]
    facts: Callable[[str, Index], Mapping[str, Fact]]
    edges: Callable[[str, Index], Iterable[Edge]] | None = None
    artifact: Callable[[str], Artifact] | None = None
    colour: Colour = "soft"


# -- rows of people ----------------------------------------------------------------------------------------------------


class Subject(Protocol):
    """Whom an erasure is about: `mlopsfw.governance.subject.Subject`, as far as holdings ask."""

    @property
    def digest(self) -> str:
        """Keyed digest of the column and the value."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts to look for."""

    @property
    def words(self) -> tuple[str, ...]:
        """Those of the texts that are long enough to be looked for where there are no columns."""

    def rows(self, schema: Mapping[str, Any]) -> Any:
        """Return an expression for the subject's rows of a table; None where no column can tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureScope:
    """What one erasure is about.

    Args:
        id: The erasure's; empty where it is only a question.
        subject: Who.
        reached: Exact references of all that came, or may have come, of the dataset.
        again: Whether an erasure of the subject was cut short: rows that are gone may still stand in files.
        bury: Records that blobs were replaced (old digest, new one or nothing) and deletes the old ones.
        descendants: Returns what came, or may have come, of exact references.
        affected: Exact references of what holds, or before an earlier try held, the subject's rows: holdings add theirs
            for those that are asked after them.
    """

    id: str
    subject: Subject
    reached: frozenset[str]
    again: bool = False
    bury: Callable[[Iterable[tuple[str, str]]], None]
    descendants: Callable[[Iterable[str]], set[str]]
    affected: set[str] = field(default_factory=set)

    def names(self, scheme: str) -> list[str]:
        """Return the names of what was reached, of one scheme, without versions, sorted."""
        start = f"{scheme}:/"
        return sorted({ref.removeprefix(start).partition("@")[0] for ref in self.reached if ref.startswith(start)})


class Held(NamedTuple):
    """What a holding has of a subject: name → count, list, or table of counts.

    What several holdings say under one name is put together.

    Args:
        recorded: For the ledger, too: counts, digests, exact references; no value of the subject's.
        shown: For the user alone.
    """

    recorded: Mapping[str, Any] = {}
    shown: Mapping[str, Any] = {}


class Holding(Protocol):
    """A place where rows of people lie."""

    def find(self, scope: ErasureScope) -> Held:
        """Return what there is of the subject, and change nothing."""

    def erase(self, scope: ErasureScope) -> Held:
        """Erase it. Killed at any point, the next call finishes it."""


# -- the component -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A part of a project. Everything is optional but the name, and nothing is asked before it is needed.

    Args:
        name: The component's.
        events: The types of events that it writes.
        index: The tables that it derives from events, and listings over them.
        edges: Its edges of the lineage, read from the index alone, which is at the ledger's head.
        references: What it knows of references of its schemes.
        needs: Versions of a dataset that it needs, each with a reason for people.
        holdings: Where it keeps rows of people, in the order in which they are erased.
        tables: Names of the tables that it keeps, so that `export` finds them where the storage does not list them.
        checks: What `doctor` asks on its behalf.
        released: Digests of blobs that its events name, and that it no longer keeps.
        plugin: The plugin that contributes it, such as `component.features`; mlopsfw enters it.
    """

    name: str
    events: tuple[type[EventRecord], ...] = ()
    index: IndexPart | None = None
    edges: Callable[[Index], Iterable[Edge]] | None = None
    references: tuple[ReferenceKind, ...] = ()
    needs: Callable[[str], Iterable[tuple[int, str]]] | None = None
    holdings: Callable[[], Iterable[Holding]] | None = None
    tables: Callable[[], Iterable[str]] | None = None
    checks: tuple[Check, ...] = ()
    released: Callable[[], Iterable[str]] | None = None
    plugin: str = ""


Released = Mapping[str, Collection[str]]
"""Plugin → digests of blobs that its events name, and that it no longer keeps; an empty name stands for mlopsfw."""


def released(components: Iterable[Component]) -> Released:
    """Return what components no longer keep. Each speaks for events of its own: no plugin lets go of another's blob."""
    given_up: dict[str, set[str]] = {}
    for component in components:
        if component.released is not None:
            given_up.setdefault(component.plugin, set()).update(component.released())
    return given_up
