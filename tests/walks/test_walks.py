"""Four walks through the house: each enters few rooms, none goes back and forth, and docs/architecture.md shows the files it passes.

A room is a folder of `mlopsfw/`; plugins and the public faces are none. Each walk is run for real and recorded on its second passage:
on the first one all parts are made. Three rooms are not counted: `kernel`, on which all the others stand, `pages`, the
frame of what they draw, and `project`, which puts parts together and hands functions of higher rooms to lower ones.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import pytest
import recorder
from journeys import WALKS
from recorder import ROOT, Call, Function, function_of
from typing_extensions import get_protocol_members, is_protocol

from mlopsfw.kernel.config.model import ProjectConfig
from mlopsfw.project.facade import Project

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MOST = 9
WIRING = "project"
UNCOUNTED = {"kernel", "pages", WIRING}

LAYERS = next(
    contract["layers"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    if contract["name"] == "Every arrow goes down"
)
FLOOR = {room: -number for number, floor in enumerate(LAYERS) for room in floor.split(" | ")}

WIRES = {
    "KernelWiring.ledger.<locals>.<lambda>": "the ledger asks who acts, and tells what it appended",
    "KernelWiring._seal": "the ledger seals what people wrote",
    "Wiring.host": "a plugin is given its part of the project",
    "Checked.__getattr__": "what a provider answers is checked where it comes in",
    "Checked.__getattr__.<locals>.call": "what a provider answers is checked where it comes in",
    "Limited.__getattr__": "a call of an alerter has a deadline",
    "Limited.__getattr__.<locals>.call": "a call of an alerter has a deadline",
    "ObserverCalls.__call__": "a call of an observer has a deadline",
    "Providers.watching": "monitors are built when a window is examined",
    "Providers._format": "a format is built when a file of its suffix is read",
    "Providers.runtime": "a runtime is built when a bundle of its format is opened",
    "Providers.alerter": "an alerter is built when it has something to deliver",
    "_Workers.engine": "attempts go to an engine, which is built late",
}
"""The functions of `project` that a lower room may call, since it was handed them. This list may only become shorter."""


class Walk(NamedTuple):
    """A recorded walk: every call, and those of the second passage."""

    title: str
    calls: list[Call]

    @property
    def second(self) -> list[Call]:
        return [call for call in self.calls if call.again]


@pytest.fixture(
    scope="module",
    params=[pytest.param(title, marks=pytest.mark.server) for title in WALKS],
    ids=lambda t: t.replace(" ", "-"),
)
def walk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Walk:
    folder = tmp_path_factory.mktemp("walk")
    (folder / "trace").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(recorder.FOLDER, str(folder / "trace"))
        patch.setenv(
            "PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        )
        WALKS[request.param](folder / "project", folder / "trace")
    return Walk(request.param, recorder.calls(folder / "trace"))


def room_of(function: Function | None) -> str:
    """Return the room of a function; nothing for plugins and public faces."""
    place = Path(function.file).parts if function else ()
    return place[1] if place[:1] == ("mlopsfw",) and len(place) > 2 else ""


def rooms(walk: Walk) -> list[str]:
    """Return the rooms that a walk enters, in order."""
    return [room for room in dict.fromkeys(room_of(call.callee) for call in walk.second) if room]


# -- what is promised ------------------------------------------------------------------------------------------------------


def test_a_walk_enters_at_most_nine_rooms_beside_the_kernel_and_the_wiring(walk: Walk) -> None:
    entered = [room for room in rooms(walk) if room not in UNCOUNTED]
    assert 3 <= len(entered) <= MOST, entered


def test_a_lower_room_calls_a_higher_one_only_through_a_role_a_component_or_a_wire(walk: Walk) -> None:
    upward = [
        call
        for call in walk.calls
        if (low := room_of(call.caller)) and (high := room_of(call.callee)) and FLOOR[low] < FLOOR[high]
    ]
    assert upward  # each walk appends events, and the ledger asks who acts
    assert [
        call for call in upward if not (is_wire(call) or fulfils_a_role(call) or call.callee in contributed())
    ] == []


def test_the_page_shows_the_rooms_that_a_walk_enters(walk: Walk) -> None:
    (line,) = re.findall(r"^Rooms: (.*?)\.$", section(walk.title), re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", line)) == set(rooms(walk)) - UNCOUNTED


def test_the_page_shows_files_that_a_walk_passes_in_their_order(walk: Walk) -> None:
    shown = [
        name if name.startswith("plugins/") else f"mlopsfw/{name}"
        for name in re.findall(r"^\| `([\w./]+)` \|", section(walk.title), re.MULTILINE)
    ]
    passed = list(dict.fromkeys(call.callee.file for call in walk.second))
    assert len(shown) >= 5
    assert [name for name in passed if name in shown] == shown


def test_the_page_shows_these_four_walks() -> None:
    assert re.findall(r"^### (.*)$", PAGE.partition("## Four walks")[2], re.MULTILINE) == list(WALKS)


def test_every_wire_is_a_function_of_the_wiring() -> None:
    files = (ROOT / "mlopsfw" / WIRING).glob("*.py")
    assert WIRES.keys() <= {name for file in files for name in _names(compile(file.read_bytes(), file, "exec"))}


def _names(code: CodeType) -> Iterator[str]:
    yield code.co_qualname
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)


def section(title: str) -> str:
    return PAGE.partition(f"### {title}\n")[2].partition("\n### ")[0].partition("\n## ")[0]


# -- how calls are sorted ----------------------------------------------------------------------------------------------------


def is_wire(call: Call) -> bool:
    return room_of(call.callee) == WIRING and call.callee.name in WIRES


def fulfils_a_role(call: Call) -> bool:
    """Return whether the callee is a method by which its class has a protocol of `mlopsfw.kernel.roles`, all of its members."""
    module, _, name = call.owner.partition(":")
    if not name or "<" in name:
        return False
    owner = importlib.import_module(module)
    for part in name.split("."):
        owner = getattr(owner, part)
    method = call.callee.name.rpartition(".")[2]
    return any(method in members and all(hasattr(owner, member) for member in members) for members in protocols())


@cache
def protocols() -> tuple[frozenset[str], ...]:
    """Return the members of each protocol in `mlopsfw.kernel.roles`."""
    files = (ROOT / "mlopsfw" / "kernel" / "roles").glob("[a-z]*.py")
    modules = [importlib.import_module(f"mlopsfw.kernel.roles.{file.stem}") for file in files]
    kinds = {
        kind for module in modules for kind in vars(module).values() if isinstance(kind, type) and is_protocol(kind)
    }
    return tuple(get_protocol_members(kind) for kind in kinds)


@cache
def contributed() -> frozenset[Function]:
    """Return the functions that stand in the records of the bundled components."""
    project = Project.open(ROOT, config=ProjectConfig(name="walks"))
    return frozenset(_functions(project.components))


def _functions(value: Any) -> Iterator[Function]:
    """Yield every function in records, mappings and sequences."""
    if isinstance(value, FunctionType) and (function := function_of(value.__code__)):
        yield function
    elif isinstance(value, Mapping):
        yield from _functions(tuple(value.values()))
    elif isinstance(value, tuple):
        for each in value:
            yield from _functions(each)
    elif dataclasses.is_dataclass(value):
        yield from _functions(tuple(getattr(value, field.name) for field in dataclasses.fields(value)))
