"""docs/architecture.md shows the house as it stands: every room has its floor and its paragraph, and every way leads to a place."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from recorder import ROOT

HOUSE = ROOT / "mlopsfw"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PLAN = PAGE.partition("mlopsfw/\n")[2].partition("\nmlopsfw_core/")[0]
ROOMS = {file.parent.name for file in HOUSE.glob("*/__init__.py")}
FACES = {file.stem for file in HOUSE.glob("*.py") if not file.stem.startswith("_")}
PRIVATE = {file.stem for file in HOUSE.glob("_[!_]*.py")}
CONTRACTS = {
    contract["name"]: contract["layers"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    if contract["type"] == "layers"
}
WAYS = re.findall(
    r"^\| ([^|]+) \| (.+) \|$", PAGE.partition("## Where a new thing goes")[2].partition("\n## ")[0], re.MULTILINE
)[1:]


def floors() -> list[set[str]]:
    """Return the rooms and faces of each floor of the plan, from the top."""
    floors = re.split(r"^  -+$", PLAN, flags=re.MULTILINE)
    return [
        {name for names in re.findall(r"^  (\w[\w, ]*?)(?:  +.*)?$", floor, re.MULTILINE) for name in names.split(", ")}
        for floor in floors
    ]


def inner(room: str) -> list[str]:
    """Return the rooms inside a room, as the plan lists them."""
    text = re.search(rf"^  {room} +(.*(?:\n {{17}}.*)*)", PLAN, re.MULTILINE)
    assert text
    return re.findall(r"\w+", text[1])


def test_the_plan_has_each_room_and_face_on_the_floor_that_imports_allow() -> None:
    assert floors() == [
        set(floor.split(" | ")) - {"__main__"} for floor in CONTRACTS["Every arrow goes down"] if floor != "__main__"
    ]
    assert set().union(*floors()) == ROOMS | FACES | PRIVATE


@pytest.mark.parametrize(("room", "contract"), [("kernel", "Inside the kernel too"), ("data", "Inside data too")])
def test_the_plan_has_the_inner_rooms_from_the_ground_up(room: str, contract: str) -> None:
    assert inner(room) == CONTRACTS[contract][::-1]


@pytest.mark.parametrize("room", ["pipeline", "models"])
def test_the_plan_names_what_is_inside(room: str) -> None:
    folders = {file.parent.name for file in (HOUSE / room).glob("*/__init__.py")}
    assert folders <= set(inner(room))
    assert all((HOUSE / room / name).exists() or (HOUSE / room / f"{name}.py").exists() for name in inner(room))


def test_every_room_has_one_paragraph() -> None:
    paragraphs = PAGE.partition("## The rooms")[2].partition("\n## ")[0].split("\n\n")
    named = [match[1] for text in paragraphs if (match := re.match(r"\n*\*\*(\w+)\*\*", text))]
    assert sorted(named) == sorted(ROOMS)
    assert all(f"`{face}`" in PAGE for face in FACES)


@pytest.mark.parametrize(("thing", "way"), WAYS, ids=[thing for thing, _ in WAYS])
def test_a_new_thing_goes_to_a_place_that_is_there(thing: str, way: str) -> None:
    places = [place for place in re.findall(r"`([^`]+)`", way) if "/" in place]
    assert places, thing
    for place in places:
        assert [*ROOT.glob(place.replace("NAME", "*"))], place


def test_every_page_is_a_page_py_beside_what_it_shows() -> None:
    drawing = {file.relative_to(HOUSE) for file in HOUSE.rglob("*.py") if "framed(" in file.read_text(encoding="utf-8")}
    shown = (
        "lineage",
        "data/contracts",
        "models/registry",
        "pipeline/run",
        "pipeline/run/runs_page",
        "training/search/page",
    )
    assert drawing == {Path("pages/__init__.py"), *(Path(room) / "page.py" for room in shown)}
    pages = {file.relative_to(HOUSE) for file in HOUSE.rglob("*page.py")}
    assert pages == {*drawing, Path("monitoring/page.py")} - {Path("pages/__init__.py")}


def test_a_card_has_one_name_for_one_meaning() -> None:
    sources = [file.read_text(encoding="utf-8") for file in HOUSE.rglob("*.py")]
    cards = [name for source in sources for name in re.findall(r"^def (\w*card)\(", source, re.MULTILINE)]
    assert {"model_card", "version_card"} <= set(cards)
    assert len(cards) == len(set(cards))


def test_the_seven_things_that_a_stranger_looks_for_are_there() -> None:
    things = " ".join(thing for thing, _ in WAYS)
    for thing in ("source", "step", "event", "check of `doctor`", "page", "faster merge", "alert route"):
        assert thing in things


def test_every_file_that_the_rooms_paragraphs_name_is_in_the_room() -> None:
    for text in PAGE.partition("## The rooms")[2].partition("\n## ")[0].split("\n\n"):
        if match := re.match(r"\n*\*\*(\w+)\*\*", text):
            for name in re.findall(r"`(\w+\.py)`", text):
                assert [*(HOUSE / match[1]).rglob(name)], f"{match[1]}: {name}"
