"""`forget`: one subject out of everything that came of a dataset. Killed at any point, running it again finishes it.

Components say where rows of people lie (`Holding`); this asks them in order and knows none. The stream
`privacy/erasures` gets `erasure.begun` before and `erasure.done` after, with counts, digests and a keyed digest of the
subject, never the value; `blobs.erased` (old, new) comes before the old blobs go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from mlopsfw.governance.events import BlobsErased, ErasureBegun, ErasureDone, ReplacedBlob
from mlopsfw.governance.removal import drop
from mlopsfw.governance.text_search import files_with
from mlopsfw.kernel.base.ids import new_run_id
from mlopsfw.kernel.component import Component, ErasureScope, Holding
from mlopsfw.kernel.store.tombstones import Tombstone

if TYPE_CHECKING:
    from mlopsfw.governance.subject import Subject
    from mlopsfw.kernel.events.record import EventRecord
    from mlopsfw.kernel.services import Services

STREAM = "privacy/erasures"


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure did, or would do.

    Args:
        erasure: Its id; empty for a dry run.
        dataset, column: What was asked for.
        subject: Keyed digest of the column and the value.
        held: What each holding says: name → count, list, or table of counts.
        remaining: Files of this machine in which a text of the subject still stands.
        dry_run: Whether nothing was done.
    """

    erasure: str
    dataset: str
    column: str
    subject: str
    held: dict[str, Any] = {}
    remaining: list[str] = []
    dry_run: bool = False

    def body(self) -> dict[str, Any]:
        """Return it as one table of JSON values."""
        body: dict[str, Any] = msgspec.to_builtins(self, str_keys=True)
        held: dict[str, Any] = body.pop("held")
        return held | body


class ErasureRoots(Protocol):
    """Datasets, as far as an erasure asks where to begin."""

    def roots(self, dataset: str, subject: Subject) -> Sequence[str]:
        """Return the versions of a dataset as exact references.

        Raise `UnknownName` where there is none, or where none has the subject's column.
        """
        ...

    def narrowed(self, subject: Subject, datasets: Sequence[str]) -> Subject:
        """Return the subject as it is found in the first of `datasets` and all that came of it."""
        ...


class Descendants(Protocol):
    """The lineage, as far as an erasure asks."""

    def downstream(self, refs: Iterable[str]) -> set[str]:
        """Return what came, or may have come, of exact references, and those themselves."""
        ...


class Erasures:
    """The erasures of a project.

    Args:
        services: The kernel's.
        lineage: What came of a dataset.
        roots: Where an erasure begins.
        components: Whose holdings are asked.
    """

    def __init__(
        self, services: Services, lineage: Descendants, roots: ErasureRoots, components: Sequence[Component]
    ) -> None:
        self._services, self._lineage, self._roots, self._components = services, lineage, roots, components

    def forget(self, dataset: str, subject: Subject, *, also: Iterable[str] = (), dry_run: bool = False) -> Erasure:
        """Erase a subject from a dataset and all that came of it.

        Args:
            dataset: The dataset.
            subject: Who.
            also: Exact references of what to search besides, such as `endpoints:/delay`.
            dry_run: Only say what there is.

        Raises:
            UnknownName: There is no such dataset, or none of its versions has the column.
        """
        holdings = self._holdings()  # before anything is recorded: one that cannot say where rows lie refuses here
        cut_short = "" if dry_run else self._cut_short(dataset, subject)
        scope = self._scope(dataset, subject, also, "" if dry_run else cut_short or new_run_id())
        facts = {"erasure": scope.id, "dataset": dataset, "column": subject.column, "subject": subject.digest}
        if not dry_run:
            _ask_plugins(holdings, scope)
            if not cut_short:
                self._append(ErasureBegun(**facts))
        answers = [
            (component.name, holding.find(scope) if dry_run else holding.erase(scope))
            for component, holding in holdings
        ]
        recorded = merged((name, answer.recorded) for name, answer in answers)
        remaining = [] if dry_run else [str(file) for file in self._remaining(subject)]
        if not dry_run:
            self._append(ErasureDone(**facts, held=recorded))
        held = recorded | merged((name, answer.shown) for name, answer in answers)
        return Erasure(**facts, held=held, remaining=remaining, dry_run=dry_run)

    def unfinished(self) -> dict[str, str]:
        """Return the erasures that were begun and neither done nor repeated since: id → the subject's keyed digest."""
        return {begun.erasure: begun.subject for begun in self._waiting()}

    def _scope(self, dataset: str, subject: Subject, also: Iterable[str], erasure: str) -> ErasureScope:
        reached = frozenset(self._lineage.downstream(self._roots.roots(dataset, subject))) | frozenset(also)
        scope = ErasureScope(
            id=erasure,
            subject=subject,
            reached=reached,
            again=subject.digest in self.unfinished().values(),
            bury=self._burial(erasure),
            descendants=self._lineage.downstream,
        )
        others = [name for name in scope.names("data") if name != dataset]
        return replace(scope, subject=self._roots.narrowed(subject, [dataset, *others]))

    def _holdings(self) -> list[tuple[Component, Holding]]:
        asked = ((component, component.holdings) for component in self._components if component.holdings is not None)
        return [(component, holding) for component, holdings in asked for holding in holdings()]

    def _waiting(self) -> list[ErasureBegun]:
        """Return what was begun and not done. An erasure of the dataset that is done ends those before it, too."""
        waiting: list[ErasureBegun] = []
        for event in self._services.ledger.stream(STREAM).events():
            if event.type == ErasureBegun.type:
                waiting.append(ErasureBegun.of(event))
            elif event.type == ErasureDone.type:
                done = ErasureDone.of(event)
                ended = (done.dataset, done.subject)
                waiting = [begun for begun in waiting if (begun.dataset, begun.subject) != ended]
        return waiting

    def _cut_short(self, dataset: str, subject: Subject) -> str:
        """Return the id of the erasure that this one goes on with; empty where none was cut short."""
        same = (dataset, subject.digest)
        return next((begun.erasure for begun in self._waiting() if (begun.dataset, begun.subject) == same), "")

    def _burial(self, erasure: str) -> Callable[[Iterable[tuple[str, str]]], None]:
        def bury(pairs: Iterable[tuple[str, str]]) -> None:
            blobs = tuple(ReplacedBlob(old=old, new=new) for old, new in pairs)
            self._append(BlobsErased(erasure=erasure, blobs=blobs))
            for pair in blobs:
                drop(self._services, pair.old, Tombstone(erasure=erasure, new=pair.new))

        return bury

    def _append(self, record: EventRecord) -> None:
        self._services.ledger.stream(STREAM).append(record)

    def _remaining(self, subject: Subject) -> list[Path]:
        return files_with(self._services.workspace.state, subject.words)


def _ask_plugins(holdings: Iterable[tuple[Component, Holding]], scope: ErasureScope) -> None:
    """Ask the holdings of plugins what they have: where one cannot answer, nothing has been erased yet."""
    for component, holding in holdings:
        if component.plugin:
            holding.find(replace(scope, id="", affected=set()))


def merged(answers: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Return the answers as one: counts are added, lists joined, tables united.

    Args:
        answers: What holdings say, each with its component's name. A value of another kind than the one that stands
            under its name, or of a name that an erasure's own facts have, comes under `COMPONENT.NAME`.
    """
    total: dict[str, Any] = {}
    for component, answer in answers:
        for key, value in answer.items():
            differs = key in total and type(total[key]) is not type(value)
            name = f"{component}.{key}" if differs or key in Erasure.__struct_fields__ else key
            if name not in total:
                total[name] = value
            elif isinstance(value, dict):
                total[name] = total[name] | value
            else:
                total[name] = total[name] + value
    return total
