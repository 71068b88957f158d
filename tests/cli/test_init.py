"""`mlopsfw init`: what it writes runs as it is, from start to end, and never over something that is there."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from mlopsfw.cli.init import init
from mlopsfw.project.facade import Project


def cli(*arguments: str, cwd) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mlopsfw", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def test_what_init_writes_runs_and_then_is_cached(tmp_path):
    begun = cli("init", "My Houses", cwd=tmp_path)
    assert begun.returncode == 0, begun.stderr
    folder = tmp_path / "My Houses"
    first = cli("run", cwd=folder)
    assert first.returncode == 0, first.stderr
    assert "mean_absolute_error=" in first.stdout
    again = cli("run", cwd=folder)
    assert again.stdout.count("unchanged since") == 4
    assert "my-houses" in cli("runs", "list", cwd=folder).stdout


def test_the_commented_keys_are_right_too(tmp_path):
    cli("init", cwd=tmp_path)
    file = tmp_path / "mlopsfw.toml"
    lines = file.read_text().splitlines()
    wanted = (
        "# [steps.model]",
        "# use =",
        "# task",
        "# target",
        "# inputs",
        "# [[objective]]",
        "# metric",
        "# by",
        "# purpose",
        "# owner",
        "# stakeholders",
        "# out_of_scope",
        "# [engine.local]",
        "# workers",
    )
    text = "\n".join(line[2:] if line.startswith(wanted) else line for line in lines)
    file.write_text(text)
    plan = cli("run", "--plan", cwd=tmp_path)
    assert plan.returncode == 0, plan.stderr
    assert "model" in plan.stdout


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "steps.py").write_text("mine")
    refused = cli("init", cwd=tmp_path)
    assert refused.returncode == 2
    assert "steps.py exists" in refused.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["steps.py"]


def test_the_file_says_what_init_is_told_of_the_project(tmp_path):
    said = ["--purpose", "Lend books", "--owner", "me", "--stakeholders", "readers, shops", "--out-of-scope", "loans"]
    CliRunner().invoke(init, [str(tmp_path), *said, "--objective", "auc >= 0.7"], catch_exceptions=False)
    with Project.open(tmp_path) as project:
        definition, (objective,) = project.config.definition, project.config.objectives
    assert (definition.purpose, definition.owner) == ("Lend books", "me")
    assert (definition.stakeholders, definition.out_of_scope) == (("readers", "shops"), ("loans",))
    assert (objective.metric, objective.target) == ("auc", ">= 0.7")


@pytest.mark.parametrize(
    "objective", ["auc", "auc > auc", ">= 0.7", "auc > 7e", "auc >= .", "0.5 > 0.3", "champion.auc > 0.3"]
)
def test_an_objective_that_is_no_bound_is_refused_before_anything_is_written(tmp_path, objective):
    refused = CliRunner().invoke(init, [str(tmp_path), "--objective", objective])
    assert "is no metric with a bound" in str(refused.exception)
    assert not list(tmp_path.iterdir())
