"""The verb prints what it promises."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
from click.testing import CliRunner

from mlopsfw import Project
from mlopsfw.scaffold.command import verb


def test_it_prints_how_many_versions_a_dataset_has(tmp_path: Path) -> None:
    (tmp_path / "mlopsfw.toml").write_text('[project]\nname = "p"\n', encoding="utf-8")
    with Project.open(tmp_path) as project:
        project.datasets.commit("people", pl.DataFrame({"n": [1]}), "replace")
    done = CliRunner().invoke(verb, ["--json"], obj={"project": tmp_path}, catch_exceptions=False)
    assert json.loads(done.output) == [{"dataset": "people", "versions": 1}]
