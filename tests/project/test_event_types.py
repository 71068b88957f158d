"""Every type of event is declared once, in an `events.py` or a `…_events.py`, and known to the project's registry."""

from __future__ import annotations

import ast
import importlib
import re
import runpy
from pathlib import Path

import pytest

import mlopsfw
from mlopsfw.kernel.events.lease import LEASE_EVENTS
from mlopsfw.kernel.events.record import EventRecord
from mlopsfw.kernel.events.registry import EventTypes
from mlopsfw.project.components import bundled, event_types, index_parts

HOME = Path(mlopsfw.__file__).parent
DECLARING = [*sorted(HOME.rglob("*events.py")), HOME / "kernel" / "events" / "lease.py"]
LITERAL_ROOMS = (
    "pipeline",
    "project",
    "models",
    "serving",
    "data",
    "alerts",
    "governance",
    "monitoring",
    "cli",
    "steps",
    "training",
    "lineage",
    "operations",
)
"""Rooms in which a type is named by its record alone."""


def registry() -> EventTypes:
    return event_types(bundled(None))


def records(start: type[EventRecord] = EventRecord) -> set[type[EventRecord]]:
    below = {inner for record in start.__subclasses__() for inner in (record, *records(record))}
    return {
        record
        for record in below
        if record.__module__.startswith("mlopsfw.")
        and not record.__module__.startswith("mlopsfw.scaffold.")
        and "type" in vars(record)
    }


def test_every_record_of_mlopsfw_is_an_event_type_of_the_project():
    for file in DECLARING:
        importlib.import_module(".".join(("mlopsfw", *file.relative_to(HOME).with_suffix("").parts)))
    assert len(records()) > len(LEASE_EVENTS)
    assert set(registry()) == records()


@pytest.mark.parametrize("record", list(registry()), ids=lambda record: record.type)
def test_a_record_says_what_happened_and_what_each_field_means(record):
    text = "".join(each.__doc__ or "" for each in record.__mro__ if issubclass(each, EventRecord))
    assert [name for name in record.__struct_fields__ if f"\n        {name}: " not in text] == []
    assert (record.__doc__ or "").split("\n", 1)[0].endswith(".")


@pytest.mark.parametrize("room", LITERAL_ROOMS)
def test_a_type_of_event_stands_as_text_in_the_module_that_declares_it_alone(room):
    types = {record.type for record in registry()}
    literal = [
        f"{file.relative_to(HOME)}:{node.lineno}"
        for file in sorted((HOME / room).rglob("*.py"))
        if file not in DECLARING
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in types
    ]
    assert literal == []


@pytest.mark.parametrize("record", list(registry()), ids=lambda record: record.type)
def test_a_record_says_in_which_streams_it_is_written(record):
    assert record.streams
    assert all(re.fullmatch(r"[a-z]+(/[a-z]+|/[A-Z]+)?", stream) for stream in record.streams)


def test_an_index_looks_for_each_type_in_a_stream_of_its_own():
    by_type = {record.type: record for record in registry()}
    for part in index_parts(bundled(None)):
        for root, type_ in part.changes:
            assert root in {stream.partition("/")[0] for stream in by_type[type_].streams}, type_


def test_the_catalogue_of_event_types_is_what_the_records_say():
    script = HOME.parent / "ci" / "events_page.py"
    assert runpy.run_path(str(script))["page"]() == (HOME.parent / "docs" / "events.md").read_text(encoding="utf-8"), (
        "run: python ci/events_page.py"
    )


@pytest.mark.parametrize("record", list(registry()), ids=lambda record: record.type)
def test_the_catalogue_has_each_type_with_every_field(record):
    text = (HOME.parent / "docs" / "events.md").read_text(encoding="utf-8")
    _, _, section = text.partition(f"\n### `{record.type}`\n")
    section = section.partition("\n#")[0]
    assert f"schema {record.schema}" in section
    assert re.findall(r"^\| (?:\*\*)?`(\w+)`", section, re.MULTILINE) == list(record.__struct_encode_fields__)
