"""`EventTypes`: the event types of a project, which wiring hands to the ledger and the index.

An event of a type that is not here is kept as it is: a component that is not installed may have written it. Its blobs
are found by a scan for digests, which keeps too much rather than too little.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints, is_typeddict

import msgspec

from mlopsfw.kernel.base.errors import LedgerError, NewerVersion, PluginError, text_of
from mlopsfw.kernel.events.authority import owner_of
from mlopsfw.kernel.events.record import EventRecord, TextMark
from mlopsfw.kernel.roles.artifact import BlobMark
from mlopsfw.kernel.roles.event import Event

_DIGEST = re.compile(r"\A(?:text:\S+/)?([0-9a-f]{64})\Z")  # of a blob, or in a reference to words


def _upcast(record: type[EventRecord], version: int, body: dict[str, Any], event: Event) -> dict[str, Any]:
    """Return the body as one of the next version. Raise `PluginError` with its owner and place where that fails."""
    cause: BaseException | None = None
    try:
        following: Any = record.upcasters[version](body)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - an upcaster that ends the process is named, too
        cause = error
        reason = "there is no upcaster" if version not in record.upcasters else text_of(error)
    else:
        if isinstance(following, dict):
            return following
        reason = f"the upcaster returned a {type(following).__name__}, not a dict"
    owner = owner_of(event.stream)
    who = f"plugin {owner!r}" if owner else record.__module__
    raise PluginError(
        f"{event.stream} #{event.seq}: {who} cannot read version {version} of {record.type}: {reason}",
        hint=f"Repair the upcaster{f', or run `mlopsfw plugins disable {owner}`' if owner else ''}.",
    ) from cause


class BlobReference(NamedTuple):
    """A blob that an event refers to.

    Args:
        digest: The blob's.
        holds: What it holds: a kind of `Artifact`, `text`, people's `words`, or nothing where it is not said.
    """

    digest: str
    holds: str


class EventTypes:
    """The event types of the installed components.

    Args:
        records: Their records. Two of one type are a mistake of their wiring: `ValueError`.
    """

    def __init__(self, records: Iterable[type[EventRecord]] = ()) -> None:
        self._records: dict[str, type[EventRecord]] = {}
        self._marked: dict[str, tuple[_Marked, ...]] = {}
        for record in records:
            other = self._records.setdefault(record.type, record)
            if other is not record:
                raise ValueError(f"{record.type} is declared by {other.__module__} and by {record.__module__}")

    def __iter__(self) -> Iterator[type[EventRecord]]:
        """Yield the records by type."""
        return iter([self._records[name] for name in sorted(self._records)])

    def __contains__(self, name: str) -> bool:
        """Return whether an installed component declares the type `name`."""
        return name in self._records

    def record(self, name: str) -> type[EventRecord] | None:
        """Return the record that declares the type `name`; None where no installed component does."""
        return self._records.get(name)

    def fault(self, event: Event) -> str:
        """Return why an event cannot be read; empty where it can, or where this release is too old to say."""
        try:
            if record := self.record(event.type):
                record.of(self.upcast(event))
        except NewerVersion:
            return ""
        except (LedgerError, PluginError) as error:
            return error.message
        return ""

    def schema(self, name: str) -> int:
        """Return the version in which bodies of the type `name` are written; 1 for a type that is not declared."""
        return self._records[name].schema if name in self._records else 1

    def upcast(self, event: Event) -> Event:
        """Return the event with its body as this release writes it.

        Raise `NewerVersion` where it is ahead of this release.
        """
        record = self._records.get(event.type)
        if record is None or event.version == record.schema:
            return event
        if event.version > record.schema:
            raise NewerVersion(
                f"{event.stream} #{event.seq}: {event.type} has version {event.version}, "
                f"this mlopsfw reads up to {record.schema}",
                hint="Upgrade mlopsfw.",
            )
        body = event.body
        for version in range(event.version, record.schema):
            body = _upcast(record, version, body, event)
        return msgspec.structs.replace(event, body=body, version=record.schema)

    def blobs(self, event: Event) -> Iterator[BlobReference]:
        """Yield the blobs that an event refers to."""
        if event.type not in self:
            yield from (BlobReference(digest, "") for digest in _digests(event.body))
            return
        for path, mark in self._marks(event.type):
            for owner, value in values_at(event.body, path):
                holds = "words" if isinstance(mark, TextMark) else mark.holds or str(owner.get(mark.holds_field, ""))
                yield from (BlobReference(digest, holds) for digest in _DIGEST.findall(value))

    def text_paths(self, name: str) -> list[FieldPath]:
        """Return where bodies of the type `name` hold people's words; None in a path is each of a list or mapping."""
        return [path for path, mark in self._marks(name) if isinstance(mark, TextMark)] if name in self else []

    def _marks(self, name: str) -> tuple[_Marked, ...]:
        if name not in self._marked:
            self._marked[name] = tuple(_marked_in(self._records[name]))
        return self._marked[name]


_EACH = None
"""In a path: each value of a list or a mapping."""
FieldPath = tuple[str | None, ...]


class _Marked(NamedTuple):
    path: FieldPath
    mark: BlobMark | TextMark


def _marked_in(type_: Any, path: FieldPath = ()) -> Iterator[_Marked]:
    """Yield the marked fields of a record, those of the records in it too."""
    for mark in getattr(type_, "__metadata__", ()):
        if isinstance(mark, BlobMark | TextMark):
            yield _Marked(path, mark)
    if (fields := fields_of(type_)) is not None:
        for name, hint in fields.items():
            yield from _marked_in(hint, (*path, name))
        return
    inner, deeper = get_args(type_), path
    if get_origin(type_) in (list, tuple, dict, Mapping) or _is_collection(type_):
        deeper = (*path, _EACH)
    if not hasattr(type_, "__metadata__"):
        for each in dict.fromkeys(inner):
            yield from _marked_in(each, deeper)


def fields_of(type_: Any) -> dict[str, Any] | None:
    """Return the fields of a record, by their names in a body, with their types; None for what is no record."""
    if is_typeddict(type_):
        return get_type_hints(type_, include_extras=True)
    if not (isinstance(type_, type) and issubclass(type_, msgspec.Struct)):
        return None
    hints = get_type_hints(type_, include_extras=True)
    names = zip(type_.__struct_fields__, type_.__struct_encode_fields__, strict=True)
    return {stored: hints[name] for name, stored in names}


def _is_collection(type_: Any) -> bool:
    origin = get_origin(type_)
    return isinstance(origin, type) and issubclass(origin, list | tuple | Mapping)


def values_at(
    value: Any, path: FieldPath, owner: Mapping[str, Any] | None = None
) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield each text at the end of `path`, with the mapping that it is a field of."""
    if not path:
        if isinstance(value, str):
            yield owner or {}, value
        return
    head, *rest = path
    if head is _EACH:
        inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
        for each in inner:
            yield from values_at(each, tuple(rest), owner)
    elif isinstance(value, Mapping) and head in value:
        yield from values_at(value[head], tuple(rest), value)


def _digests(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from _DIGEST.findall(value)
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _digests(inner)
