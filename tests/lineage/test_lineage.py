"""Lineage: from a model to its run, data and sources, and from a dataset to all that came of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mlopsfw.kernel.base.errors import InvalidReference, UnknownName
from mlopsfw.kernel.component import Edge

sys.path.append(str(Path(__file__).parents[1] / "plugins"))
from bundles import write_bundle

PIPELINE = """
[steps.get]
use = "ingest"
dataset = "nums"
path = "nums.csv"

[steps.check]
inputs = { rows = "get" }
contract.table.min_rows = 1

[steps.other]
python = "made:count"
inputs = { rows = "data:/other@1" }

[steps.fit]
python = "made:fit"
inputs = { rows = "check.rows", count = "other" }
outputs = ["model", "metrics"]

[steps.gate]
use = "gate"
inputs = { metrics = "fit.metrics", model = "fit.model" }
rules = ["auc >= 0.5", "auc > champion.auc"]
model = "nums"

[steps.keep]
use = "register"
inputs = { model = "fit.model", metrics = "gate" }
name = "nums"
alias = "champion"
"""

MADE = """
import shutil
from mlopsfw.pipeline.graph.step import BundleFolder

def count(rows):
    return rows.collect().height

def fit(rows, count, context):
    folder = context.scratch / "bundle"
    shutil.copytree("made", folder)
    return {"model": BundleFolder(folder), "metrics": {"auc": 0.7}}
"""


@pytest.fixture
def ran(make_project):
    """A project in which the pipeline ran once."""
    import polars as pl

    project = make_project(PIPELINE, made=MADE)
    (project.root / "nums.csv").write_text("a\n1\n2\n")
    write_bundle(project, project.root / "made", 0.0)
    project.datasets.commit("other", pl.DataFrame({"x": [1]}))
    project.datasets.commit("other", pl.DataFrame({"x": [2]}))
    assert run(project, "run").exit_code == 0
    return project


def run(project, *words: str):
    """Run a verb in this process."""
    from mlopsfw.cli.root import cli

    return CliRunner().invoke(cli, ["--project", str(project.root), *words], catch_exceptions=False)


def test_a_model_is_traced_to_its_run_its_data_and_their_sources(ran):
    version = ran.registry.resolve("models:/nums@champion")
    assert version.datasets == ("data:/nums@1", "data:/other@1")
    found = ran.lineage.walk("models:/nums@champion")
    run_ref = f"runs:/{version.run}"
    assert {
        Edge(run_ref, "models:/nums@1", "registered"),
        Edge("data:/nums@1", "models:/nums@1", "trained"),
        Edge("data:/other@1", "models:/nums@1", "trained"),
        Edge("data:/other@1", run_ref, "read by"),
        Edge(run_ref, "data:/nums@1", "committed"),
        Edge("source:nums.csv", "data:/nums@1", "read into"),
    } == set(found.up)
    assert found.down == ()
    assert found.nodes["data:/nums@1"]["rows"] == 2
    assert found.nodes["data:/nums@1"]["contract"] == "passed"


def test_a_dataset_is_traced_to_what_came_of_it(ran):
    found = ran.lineage.walk("data:/other@1")
    targets = {edge.target for edge in found.down}
    assert {"data:/other@2", "models:/nums@1", "data:/nums@1"} <= targets
    assert ran.lineage.walk("data:/other").root == "data:/other@2"
    assert not any(edge.target.startswith("models:") for edge in ran.lineage.walk("data:/other@2").down)


def test_running_again_unchanged_makes_no_version_and_moves_no_alias(ran):
    ran.registry.promote("nums", 1, "shadow")
    again = run(ran, "run")
    assert again.exit_code == 0, again.output
    model = ran.registry.model("nums")
    assert (len(model.versions), len(model.moves)) == (1, 2)
    assert ran.datasets.resolve("nums").version == 1


def test_a_refused_candidate_ends_the_run_with_3_and_registers_nothing(ran):
    (ran.root / "made.py").write_text(MADE.replace("0.7", "0.6").replace('"{}"', '"{ }"'))
    import shutil
    import subprocess
    import sys

    shutil.rmtree(ran.root / "made")
    write_bundle(ran, ran.root / "made", 1.0)  # another model, not the champion with other metrics
    done = subprocess.run(
        [sys.executable, "-m", "mlopsfw", "run"], cwd=ran.root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert "auc > champion.auc: does not hold (0.6 against 0.7, off by 0.1)" in done.stdout + done.stderr
    assert len(ran.registry.model("nums").versions) == 1


def test_the_verb_prints_a_tree_and_json(ran):
    text = run(ran, "lineage", "models:/nums").output
    assert "data:/nums@1 trained it" in text
    assert "source:nums.csv read into it" in text
    assert json.loads(run(ran, "lineage", "models:/nums", "--json").output)["root"] == "models:/nums@1"


def test_what_does_not_exist_is_told(ran):
    with pytest.raises(UnknownName):
        ran.lineage.walk("models:/gone")
    with pytest.raises(UnknownName):
        ran.lineage.walk("runs:/0000000000")
    with pytest.raises(InvalidReference):
        ran.lineage.walk("nums")


def test_a_floating_reference_is_traced_to_the_version_that_it_meant_then(make_project):
    import polars as pl

    project = make_project('[steps.count]\npython = "made:count"\ninputs = { rows = "data:/other" }\n', made=MADE)
    project.datasets.commit("other", pl.DataFrame({"x": [1]}))
    assert run(project, "run").exit_code == 0
    project.datasets.commit("other", pl.DataFrame({"x": [2]}))
    [ref] = project.runs.ids()
    assert {(edge.source, edge.how) for edge in project.lineage.walk(f"runs:/{ref}").up} >= {
        ("data:/other@1", "read by")
    }
    assert not any(edge.source == "data:/other@2" for edge in project.lineage.walk(f"runs:/{ref}").up)
