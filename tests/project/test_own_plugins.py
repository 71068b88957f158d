"""A file of the project is a plugin where `[plugins] modules` names it."""

from __future__ import annotations

import json
import sys

import pytest

from mlopsfw.cli import run
from mlopsfw.kernel.base.errors import ConfigError, PluginBroken
from mlopsfw.project.facade import Project

PLUGINS = """
import msgspec
from mlopsfw import Provider, hookimpl
from mlopsfw.roles import Step
class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    add: int = 1
class Log:
    def __init__(self, file): self.file = file
    def deliver(self, alert): self.file.write_text(alert.title)
@hookimpl
def mlopsfw_steps():
    yield Provider("count", Config, lambda c, host: Step(run=lambda context: {"result": 41 + c.add}), "Count")
@hookimpl
def mlopsfw_alerters():
    yield Provider("log", msgspec.defstruct("C", [], frozen=True, forbid_unknown_fields=True),
                   lambda c, host: Log(host.root / "alerts.txt"), "A file")
@hookimpl
def mlopsfw_event(event, host):
    with (host.root / "seen.txt").open("a") as file:
        file.write(event.type + "\\n")
"""
TOML = """
[plugins]
modules = ["my_plugins"]
[[alerter]]
use = "log"
[steps.n]
use = "count"
[steps.tell]
use = "alert"
inputs = { about = "n" }
title = "Counted"
"""


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Each test has a module of that name of its own."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    yield
    for name in ("my_plugins", "helpers", "helpers.numbers"):
        sys.modules.pop(name, None)


def test_its_step_its_alerter_and_its_observer_take_part_in_a_run(make_project, capsys):
    project = make_project(TOML, my_plugins=PLUGINS)
    assert run(["--project", str(project.root), "run"]) == 0
    assert (project.root / "alerts.txt").read_text() == "Counted"
    assert "run.finished" in (project.root / "seen.txt").read_text()
    capsys.readouterr()
    assert run(["--project", str(project.root), "plugins", "list", "--load", "--json"]) == 0
    rows = [row for row in json.loads(capsys.readouterr().out) if row["distribution"] == "my_plugins"]
    assert {row["name"]: row["state"] for row in rows} == dict.fromkeys(
        ["alerter.log", "observer.my_plugins", "step.count"], "ok"
    )


def test_a_change_of_its_code_reruns_the_steps_that_use_it(make_project, capsys):
    project = make_project(TOML, my_plugins=PLUGINS)

    def ran():
        capsys.readouterr()
        assert run(["--project", str(project.root), "run", "--json"]) == 0
        stream = project.ledger.stream(f"run/{json.loads(capsys.readouterr().out)['run']}")
        return [event.type for event in stream.events() if event.body.get("step") == "n"]

    assert "step.finished" in ran()
    assert ran() == ["step.cached"]
    (project.root / "my_plugins.py").write_text(PLUGINS.replace("41 + c.add", "42 + c.add"))
    assert "step.finished" in ran()


def test_a_module_that_fails_is_blamed_where_it_is_selected_and_stops_nothing_else(make_project):
    project = make_project(TOML, my_plugins=f"{PLUGINS}\nraise RuntimeError('no')\n")
    with pytest.warns(match="my_plugins"), pytest.raises(PluginBroken, match=r"step.count.*my_plugins of this project"):
        project.plugins.provider("step", "count")
    assert run(["--project", str(project.root), "models", "list"]) == 0


def counted(project):
    _, provider = project.plugins.provider("step", "count")
    return provider.build(provider.config(), None).run(None)["result"]


OWN = PLUGINS.replace("from mlopsfw.roles", "from helpers import numbers\nfrom mlopsfw.roles").replace(
    "41 + c.add", "numbers.BASE + c.add"
)


def own_project(folder, base, *, namespace):
    (folder / "helpers").mkdir(parents=True)
    files = {"mlopsfw.toml": f'[project]\nname = "{folder.name}"\n{TOML}', "my_plugins.py": OWN}
    files |= {"helpers/numbers.py": f"BASE = {base}"} | ({} if namespace else {"helpers/__init__.py": ""})
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("namespace", [False, True])
@pytest.mark.parametrize("second", ["second", "first/below"])
def test_two_projects_of_one_process_have_modules_of_equal_names_of_their_own(tmp_path, second, namespace):
    bases = {"first": 100, second: 200}
    folders = [own_project(tmp_path / name, base, namespace=namespace) for name, base in bases.items()]
    for _ in range(2):  # also where a project of before was left open
        one, two = map(Project.open, folders)
        with one, two:
            assert [counted(each) for each in (two, one, two, one)] == [201, 101, 201, 101]
    with Project.open(folders[0]) as one:
        assert counted(one) == 101
    assert [sys.path.count(str(folder)) for folder in folders] == [1, 1]


def test_a_module_whose_name_python_gives_to_another_is_refused(make_project):
    project = make_project(TOML.replace("my_plugins", "colorsys"), colorsys=PLUGINS)
    with pytest.raises(PluginBroken, match=r"colorsys.* is hidden: Python imports .*colorsys\.py") as caught:
        counted(project)
    assert "Rename the file" in caught.value.hint


@pytest.mark.parametrize(
    ("module", "source", "message"),
    [
        ("absent", "", "there is no module 'absent'"),
        ("my_plugins", "def (", "cannot be read"),
        ("my_plugins", "def mlopsfw_steps():\n    yield Provider(NAME, C, build)", "must be a text"),
    ],
)
def test_a_module_that_cannot_be_read_is_an_error_at_its_line(module, source, message, make_project):
    project = make_project(f'[plugins]\nmodules = ["{module}"]\n', my_plugins=source)
    with pytest.raises(ConfigError, match=message) as caught:
        project.plugins.catalog  # noqa: B018 - made on first use
    assert caught.value.line == 5
