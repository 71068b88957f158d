"""Objectives: when they are due, what a gate makes of them, and where they are shown."""

from __future__ import annotations

import json

import pytest

from mlopsfw.cli import run
from mlopsfw.kernel.base.errors import ConfigError
from mlopsfw.models.registry.card_layout import markdown
from mlopsfw.models.registry.version_card import version_card
from mlopsfw.testing.bundles import write_bundles

TOML = """
[project]
name = "flights"
purpose = "Tell passengers how likely a delay is"
stakeholders = ["passengers", "customer care"]

[[objective]]
metric = "auc"
target = ">= 0.7"
{limit}
[steps.measure]
python = "steps:measure"

[steps.gate]
inputs = {{ metrics = "measure" }}
model = "delay"
"""
STEPS = "def measure():\n    return {metrics}\n"
PAST, FUTURE = 'by = "2020-01-01"\n', 'by = "2999-01-01"\n'


def gated(make_project, limit="", metrics=None):
    """Run the gate; return its exit code."""
    project = make_project(TOML.format(limit=limit), steps=STEPS.format(metrics=metrics or {"auc": 0.65}))
    return run(["--project", str(project.root), "run"])


@pytest.mark.parametrize(
    ("limit", "metrics", "code"),
    [
        ("", {"auc": 0.65}, 3),
        (PAST, {"auc": 0.65}, 3),
        (PAST, {"auc": 0.7}, 0),
        (PAST, "{'auc': float('nan')}", 3),
        (PAST, {"f1": 0.9}, 3),
        (FUTURE, {"auc": 0.65}, 0),
        (FUTURE, {"f1": 0.9}, 0),
        (PAST + 'on = "delay"\n', {"auc": 0.65}, 3),
    ],
)
def test_a_gate_refuses_what_misses_an_objective_that_is_due(limit, metrics, code, make_project, capfd):
    assert gated(make_project, limit, metrics) == code
    assert ("objective" in capfd.readouterr().err) == bool(code)


def test_a_gate_without_rules_and_objectives_is_refused(make_project, capfd):
    assert gated(make_project, 'on = "fraud"\n') == 1
    assert "no rules, and no [[objective]] is about its model" in capfd.readouterr().err


def test_the_cache_knows_when_an_objective_becomes_due(make_project):
    for limit, code in ((FUTURE, 0), (FUTURE, 0), (PAST, 3)):
        assert gated(make_project, limit) == code


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('metric = "auc"', "objective.0"),
        ('metric = "auc"\ntarget = 0.7', "objective.0.target"),
        ('metric = "auc"\ntarget = "0.7"', "objective.0"),
        ('metric = "auc"\ntarget = ">= champion.auc"', "objective.0"),
        ('metric = "auc"\ntarget = ">= 0.7"\nby = "next year"', "objective.0.by"),
        ('metric = "auc"\ntarget = ">= 0.7"\non = "No Name"', "objective.0"),
        ('metric = "auc"\ntarget = ">= 0.7"\nwhen = "now"', "objective.0.when"),
    ],
)
def test_a_wrong_objective_is_named_with_its_line(text, key, make_project):
    with pytest.raises(ConfigError) as caught:
        _ = make_project(f"[[objective]]\n{text}\n").config
    assert caught.value.key == key
    assert caught.value.line


def test_doctor_warns_of_a_champion_that_misses_one_and_the_card_shows_all(make_project, tmp_path, capsys):
    project = make_project(
        TOML.format(limit=PAST) + '[[objective]]\nmetric = "auc"\ntarget = "> 0.8"\nby = "2999-01-01"\n'
        '[[objective]]\nmetric = "f1"\ntarget = "> 0"\non = "fraud"\n'
    )
    bundle = write_bundles(project.host("deployer.http"), tmp_path).first
    version = project.registry.register("delay", bundle, metrics={"auc": 0.65})
    project.registry.promote("delay", 1)
    capsys.readouterr()
    run(["--project", str(project.root), "doctor", "--json"])
    found = [
        (row["level"], row["message"]) for row in json.loads(capsys.readouterr().out) if row["check"] == "objectives"
    ]
    assert [level for level, _ in found] == ["warning", "ok", "warning"]
    assert "models:/delay@1" in found[0][1]
    assert "0.65 against 0.7" in found[0][1]
    assert "fraud has no champion" in found[2][1]
    card = markdown(
        version_card(version, project.blobs, project.datasets, project.config.definition, project.objectives)
    )
    assert "Tell passengers how likely a delay is" in card
    assert "passengers, customer care" in card
    assert "does not say: owner, out of scope" in card
    assert "missed, since 2020-01-01" in card
    assert "missed, due 2999-01-01" in card


def test_init_writes_what_the_project_is_for(tmp_path, make_project):
    purpose = 'Say "no" to\tnobody \\ ever'
    assert run(["init", str(tmp_path / "new"), "--purpose", purpose, "--owner", "the team"]) == 0
    from mlopsfw.project.facade import Project

    with Project.open(tmp_path / "new") as project:
        assert (project.config.definition.purpose, project.config.definition.owner) == (purpose, "the team")
