"""Write docs/events.md, the catalogue of event types, from the records that declare them.

Run: python ci/events_page.py. A test compares the page with the records.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from mlopsfw.kernel.events.record import EventRecord, TextMark
from mlopsfw.kernel.events.registry import fields_of
from mlopsfw.kernel.roles.artifact import BlobMark
from mlopsfw.kernel.roles.event import Event
from mlopsfw.project.components import bundled, event_types

PAGE = Path(__file__).parent.parent / "docs" / "events.md"

_HEAD = """# Events

<!-- Written by `python ci/events_page.py` from the records of the event types. Do not edit this page. -->

Everything that happens in a project is an event in its ledger. `mlopsfw audit show STREAM` prints the events of a stream, and `mlopsfw.events` has the
records for plugins ([writing a plugin](writing-plugins.md#a-component)). This page lists every type of event that mlopsfw writes.

Every event has these fields. Its `body` has the fields of its type:

"""
_TYPES = """
A body leaves out each field whose value is the default, so only the **required** fields are always there. If a later release changes a body, the type's schema number
rises and an upcaster reads the old bodies as new ones. Stored events never change. mlopsfw refuses an event with a newer schema than it knows.

| type of a field | meaning |
|---|---|
| blob | sha256 of a blob. `doctor` checks that the blob exists, and `gc` keeps it |
| blob of text | a blob of text that may quote values of rows. `data forget` searches it |
| blob of a model bundle | a blob that lists the files of a bundle. `data forget` searches it and names the model |
| free text | what a person wrote, or what code said and may quote values of rows. The event holds a reference; the text is encrypted under the key of the actor that wrote the event. `data forget` searches it, and `audit forget` of that actor erases it |
"""
_RECORDS = """
## Records in fields
"""
_PLUGINS = """
## Events of plugins

A plugin writes events only to its own streams `plugin/KEY` and `plugin/KEY/NAME`, with types `plugin.KEY.NAME`, where `KEY` is the name of its entry point, such as
`observer.acme`. A component of the plugin declares them ([writing a plugin](writing-plugins.md#a-component)). If no installed component declares a type, mlopsfw keeps its events,
shows and exports them as they are, and `gc` keeps every blob that they may refer to. `doctor` names such types.
"""
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", Any: "any JSON value"}
_BLOBS = {"": "blob", "text": "blob of text", "bundle": "blob of a model bundle"}


def page() -> str:
    """Return the page."""
    declared = event_types(bundled(None))  # type: ignore[arg-type] # no part of a project is asked for
    records = sorted(declared, key=lambda record: (record.streams[0], record.type))
    parts = [_HEAD, *_table(Event), _TYPES]
    for stream, members in groupby(records, lambda record: record.streams[0]):
        parts.append(f"\n## `{stream}`\n")
        parts.extend(line for record in members for line in _section(record))
    parts.append(_RECORDS)
    for nested in sorted(_nested(records), key=lambda each: each.__name__):
        parts.extend([f"\n### {nested.__name__}\n\n{_first_line(nested)}\n\n", *_table(nested)])
    return "".join([*parts, _PLUGINS])


def _section(record: type[EventRecord]) -> Iterator[str]:
    room = record.__module__.removeprefix("mlopsfw.").rpartition(".")[0].replace(".", "/")
    yield f"\n### `{record.type}`\n\n{_first_line(record)} Written by `{room}`, schema {record.schema}."
    if record.streams[1:]:
        yield f" Also in {', '.join(f'`{stream}`' for stream in record.streams[1:])}."
    if record.upcasters:
        yield f" Upcasters read schema {', '.join(map(str, sorted(record.upcasters)))}."
    yield "\n"
    if record.__struct_fields__:
        yield from ("\n", *_table(record))


def _table(record: Any) -> Iterator[str]:
    """Yield the lines of a table of a record's fields, in their order."""
    required = _required(record)
    meanings = _meanings(record)
    stored = dict(zip(fields_of(record) or {}, getattr(record, "__struct_fields__", ()), strict=False))
    yield "| field | type | meaning |\n|---|---|---|\n"
    for name, type_ in (fields_of(record) or {}).items():
        marked = f"**`{name}`**" if name in required else f"`{name}`"
        yield f"| {marked} | {_type(type_)} | {meanings[stored.get(name, name)]} |\n"


def _required(record: Any) -> set[str]:
    if not issubclass(record, msgspec.Struct):
        return set()
    return {field.encode_name for field in msgspec.structs.fields(record) if field.required}


def _type(type_: Any) -> str:  # noqa: PLR0911 - one line for each kind
    """Return a type in words."""
    for mark in getattr(type_, "__metadata__", ()):
        if isinstance(mark, BlobMark):
            return _BLOBS[mark.holds]
        if isinstance(mark, TextMark):
            return "free text"
    if type_ in _PLAIN:
        return _PLAIN[type_]
    if fields_of(type_) is not None:
        return f"[{type_.__name__}](#{type_.__name__.lower()})"
    inner = [each for each in get_args(type_) if each is not Ellipsis]
    origin = get_origin(type_)
    if origin is Literal:
        return " or ".join(", ".join(f"`{value}`" for value in inner).rsplit(", ", 1))
    if origin in {Union, types.UnionType}:
        return " or ".join("null" if each is type(None) else _type(each) for each in inner)
    if origin in {dict, Mapping}:
        return "object" if inner[1] is Any else f"object of {_types(inner[1])}"
    return f"list of {len(inner) if origin is tuple and len(inner) > 1 else ''} {_types(inner[0])}".replace("  ", " ")


def _types(type_: Any) -> str:
    text = _type(type_)
    return f"{text}s" if type_ in _PLAIN else re.sub("^(list|object)", r"\1s", text)


def _nested(records: list[type[EventRecord]]) -> set[Any]:
    """Return the records that fields hold, and those in them."""
    result, waiting = set[Any](), [type_ for record in records for type_ in (fields_of(record) or {}).values()]
    while waiting:
        type_ = waiting.pop()
        fields = fields_of(type_)
        if fields is None:
            waiting.extend(get_args(type_) if get_origin(type_) is not Literal else ())
        elif type_ not in result:
            result.add(type_)
            waiting.extend(fields.values())
    return result


def _first_line(record: Any) -> str:
    return str(record.__doc__).partition("\n")[0]


def _meanings(record: Any) -> dict[str, str]:
    """Return what the docstrings of a record and of those above it say of its fields."""
    meanings: dict[str, str] = {}
    for each in reversed(record.__mro__):
        _, _, arguments = (each.__doc__ or "").partition("Args:\n")
        for names, text in re.findall(r"^ {8}(\w[\w, ]*): (.*(?:\n {12}.*)*)", arguments, re.MULTILINE):
            meanings |= dict.fromkeys(names.split(", "), " ".join(text.split()).replace("|", "\\|"))
    return meanings


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
