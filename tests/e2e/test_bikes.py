"""The example of the bikes, as a user runs it: trees beat the line beyond chance, and their intervals hold as far as the season allows."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from mlopsfw.cli.root import cli
from mlopsfw.project.facade import Project

EXAMPLE = Path(__file__).parents[2] / "examples" / "bikes"


def say(folder, *words):
    done = CliRunner().invoke(cli, ["--project", str(folder), *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.slow
def test_the_bikes(tmp_path):
    folder = tmp_path / "bikes"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".mlopsfw", "__pycache__"))
    data = Path(next(iter(find_spec("ISLP").submodule_search_locations))) / "data" / "Bikeshare.csv"
    say(folder, "data", "add", "rentals", str(data))
    say(folder, "run")
    with Project.open(folder) as project:
        run = project.runs.get("latest")
        report = project.values.load(run.steps["validate"].outputs["report"])
        test = project.values.load(run.steps["split"].outputs["test"])
    assert report["clusters"]["of"] == "group date"
    assert report["against"]["line"]["better"]
    assert any(each["confirmed"] for each in report["slices"])
    test.write_parquet(folder / "test.parquet")
    say(
        folder,
        "predict",
        "bikers",
        str(folder / "test.parquet"),
        "--alpha",
        "0.1",
        "--out",
        str(folder / "scored.parquet"),
    )
    scored = pl.read_parquet(folder / "scored.parquet")
    inside = scored.select(pl.col("bikers").is_between("value.low", "value.high").mean()).item()
    assert 0.75 < inside < 0.95
