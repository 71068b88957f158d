"""`mlopsfw plugins list --load` shows every plugin in one row, whatever a plugin does; what is disabled, clashes or is misnamed says so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from mlopsfw.cli import run as cli
from mlopsfw.kernel.base.errors import ConfigError, PluginBroken, PluginConflict, PluginError
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.plugins.catalog import Catalog, Claim
from mlopsfw.kernel.plugins.manager import PluginManager

HEAD = """
import sys, click, msgspec
from mlopsfw import Provider, hookimpl
class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True): ...
class Loose(msgspec.Struct): ...
class Plain:
    a: int = 0
@click.command("bell")
def bell():
    "Ring the bell."
    click.echo("ding")
"""
HOOK = "@hookimpl\ndef {hook}():\n    {body}\n"
BODIES = {
    "it raises": ("raise ValueError('the bell is cracked')\n    yield", "ValueError: the bell is cracked"),
    "it yields a text": ("yield 'bell'", "yields a str"),
    "it yields None": ("yield None", "yields a NoneType"),
    "it returns a text": ("return 'bell'", "returns a str"),
    "it returns a number": ("return 5", "returns a int"),
    "it returns nothing": ("return None", "yields nothing"),
    "it calls sys.exit": ("sys.exit(0)\n    yield", "SystemExit"),
    "it exits before it yields": ("sys.exit(3)", "SystemExit"),
    "it raises a text of two lines": ("raise ValueError('one\\ntwo')\n    yield", "one two"),
}
PROVIDERS = {
    "it returns a provider": ("return Provider('bell', Config, print)", "returns a Provider"),
    "its config is of another kind": ("yield Provider('bell', Plain, print)", "its config Plain is no msgspec.Struct"),
    "its config takes unknown keys": ("yield Provider('bell', Loose, print)", "forbid_unknown_fields=True"),
    "its config is no class": ("yield Provider('bell', Config(), print)", "is no msgspec.Struct"),
    "it builds with no function": ("yield Provider('bell', Config, None)", "a function to build with"),
    "its summary is no text": ("yield Provider('bell', Config, print, 5)", "a text as summary"),
    "it has another name": ("yield Provider('bel', Config, print)", "offers no alerter called 'bell'"),
}
IMPORTS = {
    "its import raises": ("import no_such_module_of_acme", "no_such_module_of_acme"),
    "its import calls sys.exit": ("import sys; sys.exit(0)", "SystemExit"),
    "its syntax is wrong": ("def (:", "SyntaxError"),
}
HOOKS = {"alerter": "mlopsfw_alerters", "component": "mlopsfw_components", "command": "mlopsfw_commands"}
CASES = [
    *((kind, HEAD + HOOK.format(hook=HOOKS[kind], body=body), says) for kind in HOOKS for body, says in BODIES.values()),
    *(("alerter", HEAD + HOOK.format(hook=HOOKS["alerter"], body=b), says) for b, says in PROVIDERS.values()),
    *((kind, source, says) for kind in (*HOOKS, "observer", "format") for source, says in IMPORTS.values()),
    ("observer", "", "does not implement the hook mlopsfw_event"),
    ("observer", "from mlopsfw import hookimpl\n@hookimpl\ndef mlopsfw_evnt(): ...", "mlopsfw_evnt"),
    ("command", HEAD + HOOK.format(hook=HOOKS["command"], body="return bell"), "returns a Command"),
    ("command", HEAD + HOOK.format(hook=HOOKS["command"], body="yield lambda: 1"), "yields a function"),
    ("command", HEAD + HOOK.format(hook=HOOKS["command"], body="yield click.Command('bel')"), "no command called"),
]  # fmt: skip


def listed(capsys, *options):
    code = cli(["plugins", "list", "--json", *options])
    out = capsys.readouterr()
    return code, {(row["name"], row["distribution"]): row for row in json.loads(out.out)}, out.err


@pytest.mark.parametrize(("kind", "source", "says"), CASES)
def test_a_plugin_that_is_broken_is_one_row_that_says_what_is_wrong(kind, source, says, install_plugin, capsys):
    install_plugin(f"print('noise')\n{source}", f"{kind}.bell")
    code, rows, err = listed(capsys, "--load")
    state = rows[f"{kind}.bell", "acme-mlops-0"]["state"]
    assert code == 5
    assert state.startswith("broken: ")
    assert says in state
    assert "\n" not in state
    assert {row["state"] for (name, _), row in rows.items() if name != f"{kind}.bell"} == {"ok"}
    assert f"{kind}.bell" in err


def test_a_sound_verb_and_observer_are_listed_with_their_summaries(install_plugin, capsys):
    install_plugin(HEAD + HOOK.format(hook=HOOKS["command"], body="yield bell"), "command.bell")
    install_plugin("from mlopsfw import hookimpl\n@hookimpl\ndef mlopsfw_event(event): ...", "observer.bell")
    code, rows, _ = listed(capsys, "--load")
    assert (code, rows["command.bell", "acme-mlops-0"]["summary"]) == (0, "Ring the bell.")
    assert rows["observer.bell", "acme-mlops-1"]["state"] == "ok"


@pytest.mark.parametrize("options", [[], ["--load"]])
def test_a_verb_that_a_verb_of_mlopsfw_hides_says_so(options, install_plugin, capsys):
    install_plugin(HEAD + HOOK.format(hook=HOOKS["command"], body="yield click.Command('run')"), "command.run")
    code, rows, _ = listed(capsys, *options)
    assert code == 5
    assert rows["command.run", "acme-mlops-0"]["state"].startswith("hidden: mlopsfw itself has the verb 'run'")
    assert cli(["--help"]) == 0
    assert "acme-mlops-0" not in capsys.readouterr().out


@pytest.mark.parametrize(("point", "nearest"), [("monitr.x", "monitor"), ("allerter.bell", "alerter"), ("alerter", "")])
def test_an_entry_point_of_an_unknown_role_is_listed_with_the_nearest_role(
    point, nearest, install_plugin, capsys, project
):
    install_plugin(HEAD, point)
    code, rows, _ = listed(capsys, "--load")
    state = rows[point, "acme-mlops-0"]["state"]
    assert code == 5
    assert state.startswith("unknown: ")
    assert nearest in state
    warned = [f.message for f in project.doctor.examine() if f.check == "plugins" and f.level == "warning"]
    assert [text for text in warned if f"entry point '{point}'" in text]


VERB = HEAD + HOOK.format(hook=HOOKS["command"], body="yield bell")


@pytest.mark.parametrize("way", ["command.bell", "acme-mlops-0", "the environment"])
def test_a_disabled_verb_is_neither_run_nor_shown(way, install_plugin, make_project, monkeypatch, capsys):
    install_plugin(VERB, "command.bell")
    project = make_project("" if way == "the environment" else f'[plugins]\ndisabled = ["{way}"]\n')
    monkeypatch.chdir(project.root)
    if way == "the environment":
        monkeypatch.setenv("MLOPSFW_DISABLE_PLUGINS", "command.bell")
    assert cli(["bell"]) == 5
    out = capsys.readouterr()
    assert "ding" not in out.out
    assert "is disabled" in out.err
    cli(["--help"])
    assert "acme-mlops-0" not in capsys.readouterr().out
    assert listed(capsys)[1]["command.bell", "acme-mlops-0"]["state"] == "disabled"
    monkeypatch.chdir(project.root.parent)
    monkeypatch.delenv("MLOPSFW_DISABLE_PLUGINS", raising=False)
    capsys.readouterr()
    for before in (["--project", str(project.root)], ["--set", "plugins.disabled=[]", "--project", str(project.root)]):
        assert cli([*before, "--help"]) == 0
        assert ("acme-mlops-0" in capsys.readouterr().out) == (way == "the environment" or "--set" in before)
    assert cli(["--project", str(project.root), "bell"]) == (0 if way == "the environment" else 5)
    assert cli(["bell"]) == 0


def test_a_verb_is_not_run_where_what_is_disabled_cannot_be_read(install_plugin, make_project, monkeypatch, capsys):
    install_plugin(VERB, "command.bell")
    project = make_project()
    (project.root / "mlopsfw.toml").write_text("[plugins\n")
    monkeypatch.chdir(project.root)
    assert cli(["bell"]) == 2
    assert "ding" not in capsys.readouterr().out
    assert cli(["--help"]) == 0
    assert "bell" in capsys.readouterr().out


def claim(distribution, kind="alerter"):
    return Claim(kind, "bell", "m", distribution, "1", 1)


@pytest.mark.parametrize("kind", ["alerter", "command", "component", "observer", "format"])
@pytest.mark.parametrize("rivals", [("acme", "other"), ("mlopsfw", "acme"), ("acme", "mlopsfw")])
def test_the_hint_of_a_clash_names_both_and_never_disables_mlopsfw_itself(kind, rivals):
    with pytest.raises(PluginConflict) as caught:
        Catalog([claim(each, kind) for each in rivals]).find(kind, "bell")
    assert all(each in caught.value.message for each in rivals)
    for each in rivals:
        assert (f'disabled = ["{each}"]' in caught.value.hint) == (each != "mlopsfw")


@pytest.mark.parametrize("config", ["Plain", "Loose"])
def test_a_config_that_takes_any_key_is_refused_with_blame(config, install_plugin, project):
    install_plugin(HEAD + HOOK.format(hook=HOOKS["alerter"], body=f"yield Provider('bell', {config}, print)"), "alerter.bell")  # fmt: skip
    with pytest.raises(PluginBroken, match=rf"acme-mlops-0 1\.2.*{config} is no msgspec\.Struct") as caught:
        PluginManager().provider("alerter", "bell")
    assert "raised by plugin 'alerter.bell'" in caught.value.__notes__[0]


MISSING = {"observer": "acme", "format": "acme", "source": "acme", "runtime": "acme"}


@pytest.mark.parametrize("kind", MISSING)
@pytest.mark.parametrize("verb", [["models", "list"], ["status"], ["runs", "list"], ["data", "list"]])
def test_options_of_what_is_not_installed_stop_no_verb_that_reads(kind, verb, make_project, monkeypatch, capsys):
    project = make_project(f'[{kind}.acme]\nurl = "x"\n')
    monkeypatch.chdir(project.root)
    assert cli(verb) in (0, 2) if verb == ["status"] else cli(verb) == 0
    assert "no installed" not in capsys.readouterr().err


@pytest.mark.parametrize("kind", MISSING)
def test_options_of_what_is_not_installed_stop_what_writes_and_say_what_to_install(
    kind, make_project, monkeypatch, capsys
):
    project = make_project(
        f'[{kind}.acme]\nurl = "x"\n[steps.one]\npython = "work:one"\n', work="def one(): return 1\n"
    )
    monkeypatch.chdir(project.root)
    assert cli(["run"]) == 2
    err = capsys.readouterr().err
    assert f"no installed {kind} is called 'acme'" in err
    assert f"install the package with the entry point {kind}.acme" in err
    (found,) = [f for f in project.doctor.examine() if f.check == "plugins" and f.level == "error"]
    assert found.hint in err


def test_a_component_that_is_not_installed_stops_what_deletes_and_no_verb_that_reads(make_project, monkeypatch, capsys):
    project = make_project("[component.acme]\nurl = 'x'\n")
    monkeypatch.chdir(project.root)
    with pytest.warns(RuntimeWarning, match="no installed component is called 'acme'"):
        assert cli(["models", "list"]) == 0
    with pytest.warns(RuntimeWarning, match="no installed component is called 'acme'"):
        refusing = project.components[-1]
    with pytest.raises(PluginError, match="cannot say what it needs and holds"):
        refusing.needs("people")
    with pytest.raises(ConfigError, match="no installed component is called 'acme'"):
        project.ledger.stream("a").append(PlainRecord("b", {}))


def test_each_call_of_a_plugin_is_traced_with_its_time_where_that_is_asked(project, install_plugin):
    install_plugin(
        "from mlopsfw import hookimpl\n@hookimpl\ndef mlopsfw_event(event):\n    raise ValueError('no')\n",
        "observer.traced",
    )
    command = [sys.executable, "-m", "mlopsfw", "--project", str(project.root), "data", "add", "d", "rows.csv"]
    (project.root / "rows.csv").write_text("n\n1\n", encoding="utf-8")
    env = os.environ | {"MLOPSFW_TRACE_PLUGINS": "1"}
    done = subprocess.run(command, cwd=project.root, env=env, capture_output=True, text=True, check=True)
    lines = [line for line in done.stderr.splitlines() if re.search(r" \d+\.\d ms", line)]
    assert any(re.fullmatch(r"storage\.object Storage\.put_if_absent \d+\.\d ms", line) for line in lines)
    assert any(re.fullmatch(r"format\.csv Format\.read \d+\.\d ms", line) for line in lines)
    assert any(re.fullmatch(r"observer\.traced mlopsfw_event \d+\.\d ms ValueError", line) for line in lines)
