"""The versions of a dataset, folded from its events. Reads and changes no tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import msgspec

from mlopsfw.data.datasets.events import (
    VERSION_EVENTS,
    DatasetChecked,
    DatasetErased,
    DatasetRevived,
    DatasetSettled,
    DatasetSwept,
    DatasetTagged,
    DatasetUntagged,
    DatasetVacuumed,
    RewrittenVersion,
    VersionRecord,
)
from mlopsfw.kernel.base.errors import Erased, UnknownName, Vacuumed
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.kernel.roles.event import Event
from mlopsfw.lineage.references import parse_reference
from mlopsfw.privacy.treatments import Mark

FILES = "files"
"""The `origin` of a version whose rows are files (`mlopsfw.data.filesets`)."""

_REMOVALS = (DatasetErased.type, DatasetSwept.type, DatasetVacuumed.type, DatasetRevived.type)

_Version = TypeVar("_Version", bound=VersionRecord)


class DatasetVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a dataset.

    Args:
        name: The dataset's name.
        version: From 1, without gaps.
        digest: Of the logical content (`mlopsfw.data.tables.digest`).
        rows: How many.
        columns: Column → logical type, in order.
        mode: `append`, `replace`, `upsert`, `incremental`, `restore` or `reference`.
        source: Where the rows came from, for people.
        origin: Facts that show whether its sources change: see `mlopsfw.data.intake.load_sources`.
        message: A reason, for people.
        manifest: Blob that lists its files; empty for a reference.
        added: Digest of the added rows.
        watermark: For an incremental load: `column`, its greatest `value` so far, and that value's `type`.
        intake: What did not fit: `quarantined` rows and their `batch`; unknown columns `ignored`;
            when its bad rows were `settled`.
        pii: Personal column → its treatment before storage.
        of: The version that a restore copied.
        uri: The absolute URI of a reference.
        pin: The pin of a reference: see `mlopsfw.data.datasets.pins`.
        run: The run that made it, if one did.
        erased: Its digests before rows were erased from it.
        time: When, RFC 3339.
        actor: The actor.
        tags: The tags that are on it now.
        checked: What its newest check against a contract found; None where it was never checked.
        checked_at: When that was, RFC 3339.
        vacuumed: When its rows were removed; empty where they were not.
        erased_rows: How many rows were erased from it on request.
        new: False if a commit found the same content and made no version.
    """

    name: str
    version: int
    digest: str
    rows: int
    columns: dict[str, str]
    mode: str
    source: str = ""
    origin: dict[str, Any] = {}
    message: str = ""
    manifest: str = ""
    added: str = ""
    watermark: dict[str, Any] = {}
    intake: dict[str, Any] = {}
    pii: dict[str, Mark] = {}
    of: int = 0
    uri: str = ""
    pin: dict[str, Any] = {}
    run: str = ""
    erased: tuple[str, ...] = ()
    time: str = ""
    actor: str = ""
    tags: tuple[str, ...] = ()
    checked: DatasetChecked | None = None
    checked_at: str = ""
    vacuumed: str = ""
    erased_rows: int = 0
    new: bool = True

    @property
    def ref(self) -> str:
        """The exact reference, `data:/name@3`."""
        return f"data:/{self.name}@{self.version}"

    @property
    def table_version(self) -> int:
        """The version of its Delta table: the two count in step, from 0."""
        return self.version - 1

    @property
    def index(self) -> str:
        """The blob of the index, which locates the files' bytes, for a set of files; else empty."""
        return str(self.origin["index"]) if self.origin.get("how") == FILES else ""

    @property
    def live(self) -> bool:
        """Whether it has files, and they are not vacuumed."""
        return bool(self.manifest) and not self.vacuumed

    def readable(self) -> DatasetVersion:
        """Return itself. Raise `Vacuumed` if its rows were removed."""
        if self.vacuumed:
            hint = f"`mlopsfw data log {self.name}` shows which versions are kept."
            raise Vacuumed(f"{self.ref} was vacuumed on {self.vacuumed[:19]}: its rows were removed", hint=hint)
        return self

    def artifact(self) -> Artifact:
        """Return the version as an artifact, as steps exchange it."""
        meta = {"rows": self.rows, "columns": list(self.columns)}
        return Artifact(kind="dataset", digest=self.digest, ref=self.ref, meta=meta)

    @property
    def verdict(self) -> str:
        """What its newest check found, in a word or two; empty where it was never checked."""
        return self.checked.verdict if self.checked else ""

    def record(self, kind: type[_Version]) -> _Version:
        """Return the event of that kind which makes the version."""
        facts = {name: getattr(self, name) for name in kind.__struct_fields__ if name != "restored"}
        return kind(**facts, restored=self.of)


class History(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset, folded from its events.

    Args:
        name: The dataset's name.
        seq: Number of the newest event; 0 if there is none.
        versions: All versions, oldest first.
        sweeping: Whether an erasure is rewriting the Delta log, so that no other process may write to it.
        removals: The number of events that remove files: erasures and vacuums.
        tags: Tag → version.
    """

    name: str
    seq: int
    versions: tuple[DatasetVersion, ...]
    sweeping: bool = False
    removals: int = 0
    tags: dict[str, int] = {}

    @property
    def latest(self) -> DatasetVersion | None:
        """The newest version."""
        return self.versions[-1] if self.versions else None

    def get(self, version: int | None) -> DatasetVersion:
        """Return the version of this number, or the newest for None. Raise `UnknownName`."""
        if not self.versions:
            raise UnknownName(f"there is no dataset {self.name!r}", hint="`mlopsfw data list` shows all datasets.")
        if version is None:
            return self.versions[-1]
        if not 1 <= version <= len(self.versions):
            hint = f"It has versions 1 to {len(self.versions)}; see `mlopsfw data log {self.name}`."
            raise UnknownName(f"dataset {self.name!r} has no version {version}", hint=hint)
        return self.versions[version - 1]

    def select(self, selector: str) -> DatasetVersion:
        """Return the version for a number, a tag, `latest` or an empty selector. Raise `UnknownName`."""
        if selector in ("", "latest"):
            return self.get(None)
        if selector.isdecimal() or not self.versions:
            return self.get(int(selector) if selector.isdecimal() else None)
        if selector not in self.tags:
            hint = nearest(selector, self.tags) if self.tags else f"Set one: mlopsfw data tag {self.name} {selector}"
            raise UnknownName(f"dataset {self.name!r} has no tag {selector!r}", hint=hint)
        return self.get(self.tags[selector])

    def of(self, artifact: Artifact) -> DatasetVersion:
        """Return the version of a step's artifact. Raise `Erased` if it has lost rows since, `Vacuumed`, `UnknownName`."""
        version = self.get(parse_reference(artifact.ref, "data").version)
        if artifact.digest in version.erased and artifact.digest != version.digest:
            raise _erased(version)
        return version.readable()


def _erased(version: DatasetVersion) -> Erased:
    return Erased(
        f"{version.ref} has changed: rows were erased from it on request",
        hint=f"Its digest is now {version.digest[:12]}. Run the step that reads it again.",
    )


def fold(name: str, events: Iterable[Event]) -> History:
    """Return the history, folded from `events` (a whole `dataset/NAME` stream)."""
    seq, versions, tags = 0, list[DatasetVersion](), dict[str, int]()
    removals, sweeping = 0, False
    for event in events:
        seq = event.seq
        if event.type in VERSION_EVENTS:
            versions.append(_version(name, event))
        elif event.type == DatasetTagged.type:
            tagged = DatasetTagged.of(event)
            tags[tagged.tag] = tagged.version
        elif event.type == DatasetUntagged.type:
            tags.pop(DatasetUntagged.of(event).tag, None)
        else:
            if event.type in (DatasetErased.type, DatasetSwept.type):
                sweeping = event.type == DatasetErased.type
            removals += event.type in _REMOVALS
            _change(versions, event)
    for tag, number in sorted(tags.items()):
        version = versions[number - 1]
        versions[number - 1] = msgspec.structs.replace(version, tags=(*version.tags, tag))
    return History(name=name, seq=seq, versions=tuple(versions), sweeping=sweeping, removals=removals, tags=tags)


def indexes(events: Iterable[Event]) -> Iterator[str]:
    """Yield the indexes of file sets that a dataset's events name, as `DatasetVersion.index` does."""
    for event in events:
        if kind := VERSION_EVENTS.get(event.type):
            yield from filter(None, [kind.of(event).origin.get("index")])
        elif event.type == DatasetErased.type:
            yield from filter(None, (change.new_index for change in DatasetErased.of(event).versions))


def _change(versions: list[DatasetVersion], event: Event) -> None:
    """Apply an event to the versions that it changes."""
    if event.type == DatasetChecked.type:
        checked = DatasetChecked.of(event)
        _replace(versions, checked.version, checked=checked, checked_at=event.time)
    elif event.type == DatasetSettled.type:
        version_number = DatasetSettled.of(event).version
        _replace(versions, version_number, intake={**versions[version_number - 1].intake, "settled": event.time})
    elif event.type == DatasetErased.type:
        for change in DatasetErased.of(event).versions:
            versions[change.version - 1] = _without(versions[change.version - 1], change)
    elif event.type == DatasetVacuumed.type:
        for number in DatasetVacuumed.of(event).versions:
            _replace(versions, number, vacuumed=event.time)
    elif event.type == DatasetRevived.type:
        for number in DatasetRevived.of(event).versions:
            _replace(versions, number, vacuumed="")


def _replace(versions: list[DatasetVersion], number: int, **facts: Any) -> None:
    versions[number - 1] = msgspec.structs.replace(versions[number - 1], **facts)


def _without(version: DatasetVersion, change: RewrittenVersion) -> DatasetVersion:
    origin = version.origin if change.new_index is None else {**version.origin, "index": change.new_index}
    return msgspec.structs.replace(
        version,
        digest=change.digest,
        rows=change.rows,
        erased_rows=version.erased_rows + version.rows - change.rows,
        manifest=change.new,
        origin=origin,
        erased=(*version.erased, version.digest),
        checked=None,
        checked_at="",
    )


def _version(name: str, event: Event) -> DatasetVersion:
    facts = msgspec.structs.asdict(VERSION_EVENTS[event.type].of(event))
    del facts["table_version"]  # the version implies it
    return DatasetVersion(name=name, time=event.time, actor=event.actor, of=facts.pop("restored"), **facts)
