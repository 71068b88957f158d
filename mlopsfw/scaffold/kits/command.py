"""The verb keeps the promises of every verb, and prints what it says."""

from __future__ import annotations

import json
from pathlib import Path

import click
import polars as pl
import pytest
from click.testing import CliRunner

from mlopsfw import Project
from mlopsfw.scaffold.command import verb
from mlopsfw.testing.command import CommandConformance


class TestSampleCommand(CommandConformance):
    """The verb needs no arguments, and runs in any project."""

    @pytest.fixture
    def command(self) -> click.Command:
        """Return the verb."""
        return verb


def test_it_prints_how_many_versions_a_dataset_has(tmp_path: Path) -> None:
    (tmp_path / "mlopsfw.toml").write_text('[project]\nname = "p"\n', encoding="utf-8")
    with Project.open(tmp_path) as project:
        project.datasets.commit("people", pl.DataFrame({"n": [1]}), "replace")
    done = CliRunner().invoke(verb, ["--json"], obj={"project": tmp_path}, catch_exceptions=False)
    assert json.loads(done.output) == [{"dataset": "people", "versions": 1}]
