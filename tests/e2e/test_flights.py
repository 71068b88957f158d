"""The main job's outcome moves with its data: what it finds is found, and where there is nothing it finds nothing.

Each run is the example as a user starts it: a project of its own, a real endpoint, a real webhook receiver, requests over HTTP.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

MAIN = Path(__file__).parents[2] / "examples" / "flights" / "main.py"
pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(600)]


def run(folder, *options):
    out = subprocess.run(
        [sys.executable, MAIN, "--folder", folder, *map(str, options)], capture_output=True, text=True, check=False
    )
    assert out.returncode == 0, out.stdout[-3000:] + out.stderr[-3000:]
    return json.loads((folder / "summary.json").read_text())


@pytest.mark.nightly
def test_the_whole_year(tmp_path):
    found = run(tmp_path / "run")
    assert found["failed"] == []
    assert found["predictions"] == 255_987  # every flight of April to December
    assert found["set_aside"] == [
        "wind_speed is 1048.36058: not from 0 to 150"
    ]  # as the package has it, at EWR on 12 February
    assert found["requests_during_rollouts"] > 0
    assert found["alarms"] >= 1
    raised = [title for title in found["alerts_received"] if title.startswith("firing")]
    assert raised, "an alarm, and nobody was told"
    assert found["challengers"]
    for challenger in found["challengers"]:
        assert challenger["promoted"] == (challenger["against_champion"]["low"] > 0)  # better by more than chance
    trials = found["first_model"]["trials"]
    assert {*trials} == {"boosted", "torch", "xgb", "linear"}
    assert None not in trials.values()
    assert found["first_model"]["against_baseline"]["low"] > 0  # than a line on the same features
    assert Path(found["page"]).read_text().startswith("<!doctype html>")


@pytest.mark.nightly
def test_with_the_dates_permuted_there_is_no_drift_beyond_the_budget(tmp_path):
    found = run(tmp_path / "run", "--permute-dates", "--until", "2013-07-08", "--every", 14)
    assert len(found["windows"]) == 7
    assert found["alarms"] <= 1  # at a budget of one in twenty


@pytest.fixture(scope="module")
def swapped(tmp_path_factory):
    """What the job finds in two windows whose columns departs and distance are swapped, with a challenger that is worse."""
    options = ("--swap", "departs", "distance", "--until", "2013-04-22", "--every", 14, "--handicap")
    return run(tmp_path_factory.mktemp("swapped") / "run", *options)


def test_two_swapped_columns_are_named_first(swapped):
    (window, *_) = swapped["windows"]
    assert "departs" in window["summary"]
    assert window["alarm"]
    assert set(window["drifted"][:2]) <= {"departs", "distance", "probability"}
    assert {"departs", "distance"} <= set(window["drifted"])


def test_a_worse_challenger_is_refused_and_the_champion_goes_on(swapped):
    assert [c["promoted"] for c in swapped["challengers"]] == [False]
    assert swapped["challengers"][0]["against_champion"]["low"] <= 0
    assert {w["version"] for w in swapped["windows"]} == {1}
    assert swapped["failed"] == []
