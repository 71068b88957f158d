"""Plugins are found by metadata, selected by name, isolated when broken, and named when they raise."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import jsonschema
import msgspec
import pytest

from mlopsfw.kernel.base.errors import (
    ConfigError,
    PluginApiMismatch,
    PluginBroken,
    PluginConflict,
    PluginError,
    UnknownName,
)
from mlopsfw.kernel.config.model import Selection
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.plugins.catalog import Catalog, Claim, installed
from mlopsfw.kernel.plugins.manager import PluginManager
from mlopsfw.kernel.roles.event import Event
from mlopsfw.project.config.schema import config_schema

PLUGIN = """
import msgspec
from mlopsfw import Provider, hookimpl

class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    loudness: int = 1

class Bell:
    def __init__(self, loudness):
        self.loudness = loudness
    def deliver(self, alert):
        raise ValueError("the bell is cracked")
    def peals(self):
        yield 1
        raise ValueError("the rope broke")

@hookimpl
def mlopsfw_alerters():
    yield Provider("bell", Config, lambda config, host: Bell(config.loudness), "Rings")
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Write a module that can be imported, and return the claim to it."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(source, *, kind="alerter", name="bell", module="bell_plugin", distribution="acme-bell", api=1):
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        return Claim(kind, name, module, distribution, "1.2", api)

    yield write
    for name in [m for m in sys.modules if m.endswith("_plugin")]:
        del sys.modules[name]


def manager(*claims, disabled=()):
    return PluginManager(Catalog(claims, disabled=disabled))


def build(plugins, project, **options):
    selection = Selection(use="bell", options=options, key="alerter.0")
    return plugins.build("alerter", selection, project.config, project.host("alerter.bell"))


def test_the_selected_provider_is_built_from_its_own_config(plugin, project):
    assert build(manager(plugin(PLUGIN)), project, loudness=7).loudness == 7


def test_an_unknown_name_gets_the_nearest(plugin):
    with pytest.raises(UnknownName, match="Did you mean 'bell'"):
        manager(plugin(PLUGIN)).provider("alerter", "bel")


def test_a_provider_that_nobody_offers_is_told_with_the_line_that_selects_it(plugin, make_project):
    project = make_project('[[alerter]]\nuse = "bel"\n')
    (selection,) = project.config.selections("alerter")
    with pytest.raises(ConfigError, match=r"mlopsfw\.toml:5: alerter\.0\.use: no installed .*\n  Did you mean 'bell'"):
        manager(plugin(PLUGIN)).build("alerter", selection, project.config, project.host("alerter.bel"))


def test_an_unknown_option_gets_the_nearest_and_its_key(plugin, project):
    with pytest.raises(ConfigError, match=r"alerter\.0\.bell\.loudnes: unknown key\n  Did you mean 'loudness'"):
        build(manager(plugin(PLUGIN)), project, loudnes=7)


def test_two_distributions_that_claim_one_name_are_both_named(plugin):
    first, second = plugin(PLUGIN), plugin(PLUGIN, distribution="other-bell")
    with pytest.raises(PluginConflict, match=r"acme-bell 1\.2 .* and other-bell 1\.2") as caught:
        manager(first, second).provider("alerter", "bell")
    assert caught.value.exit_code == 5
    assert manager(first, second, disabled=["other-bell"]).provider("alerter", "bell")[0] == first


def test_a_plugin_for_newer_hooks_is_refused_and_said_so(plugin):
    with pytest.raises(
        PluginApiMismatch, match=r"needs the plugin API mlopsfw\.v2; this mlopsfw has v1\n.*upgrade mlopsfw"
    ):
        manager(plugin(PLUGIN, api=2)).provider("alerter", "bell")


def test_a_plugin_for_the_previous_hooks_is_accepted(plugin):
    assert manager(plugin(PLUGIN, api=0)).provider("alerter", "bell")[1].name == "bell"


def test_a_plugin_that_fails_at_import_is_set_aside_with_one_warning_and_its_cause_kept(plugin):
    plugins = manager(plugin("raise OSError('no licence')"))
    with pytest.warns(RuntimeWarning, match="acme-bell 1.2"), pytest.raises(PluginBroken, match="no licence"):
        plugins.provider("alerter", "bell")
    with pytest.raises(PluginBroken, match="no licence") as caught:  # a second warning would be an error here
        plugins.provider("alerter", "bell")
    assert isinstance(caught.value.__cause__, OSError)


def test_a_hook_that_is_not_in_the_specs_breaks_only_its_plugin(plugin):
    plugins = manager(plugin("from mlopsfw import hookimpl\n@hookimpl\ndef mlopsfw_alertes(): ..."))
    with pytest.warns(RuntimeWarning), pytest.raises(PluginBroken, match="mlopsfw_alertes"):
        plugins.provider("alerter", "bell")


def test_a_plugin_with_an_unknown_hook_does_not_break_those_that_are_loaded_after_it(plugin):
    broken = plugin(
        "from mlopsfw import hookimpl\n@hookimpl\ndef mlopsfw_alertes(): ...", name="bad", module="bad_plugin"
    )
    plugins = manager(broken, plugin(PLUGIN))
    with pytest.warns(RuntimeWarning, match="mlopsfw_alertes"), pytest.raises(PluginBroken):
        plugins.provider("alerter", "bad")
    assert plugins.provider("alerter", "bell")[1].name == "bell"


def test_a_disabled_plugin_is_never_imported(plugin):
    plugins = manager(plugin("raise SystemExit('imported')"), disabled=["alerter.bell"])
    with pytest.raises(PluginError, match="is disabled"):
        plugins.provider("alerter", "bell")


def test_what_a_plugin_raises_keeps_its_type_and_names_the_plugin(plugin, project):
    bell = build(manager(plugin(PLUGIN)), project)
    with pytest.raises(ValueError, match="cracked") as caught:
        bell.deliver(None)
    assert caught.value.__notes__ == ["raised by plugin 'alerter.bell' (acme-bell 1.2) in Alerter.deliver"]


def test_what_a_plugins_iterator_raises_names_it_too(plugin, project):
    peals = build(manager(plugin(PLUGIN)), project).peals()
    assert next(peals) == 1
    with pytest.raises(ValueError, match="rope") as caught:
        next(peals)
    assert "Alerter.peals" in caught.value.__notes__[0]


EVENT = Event(stream="run/x", seq=1, id="0" * 32, type="run.started", time="2026-01-01T00:00:00Z", actor="a", body={})


def test_an_observer_sees_events_and_its_error_is_only_a_warning(plugin, project):
    observer = """
        from mlopsfw import hookimpl
        seen = []
        @hookimpl
        def mlopsfw_event(event):
            seen.append(event)
            raise KeyError("observer")
    """
    claim = plugin(observer, kind="observer", name="spy", module="spy_plugin")
    plugins = manager(claim)
    with pytest.warns(RuntimeWarning, match=r"observer\.spy"):
        plugins.notify(EVENT, project.host, {})
    assert sys.modules["spy_plugin"].seen == [EVENT]


def test_an_observer_that_asks_for_them_gets_its_own_options_and_a_host_of_its_own(plugin, project):
    observer = """
        from mlopsfw import hookimpl
        seen = []
        @hookimpl
        def mlopsfw_event(options, host):
            seen.append((options, host.private_folder().name))
    """
    plugins = manager(plugin(observer, kind="observer", name="asker", module="asker_plugin"))
    plugins.notify(EVENT, project.host, {"asker": {"url": "x"}, "other": {"url": "y"}})
    plugins.notify(EVENT, project.host, {})
    assert sys.modules["asker_plugin"].seen == [({"url": "x"}, "observer.asker"), ({}, "observer.asker")]


def test_a_plugins_folders_are_its_own_and_private(project):
    folder = project.host("deployer.acme").private_folder("delay", "bundles")
    assert folder == project.state / "plugins" / "deployer.acme" / "delay" / "bundles"
    assert [each.stat().st_mode & 0o777 for each in (folder, folder.parent, folder.parent.parent)] == [0o700] * 3


def test_options_for_an_observer_that_is_not_installed_are_an_error_with_its_line(make_project):
    project = make_project('[observer.openlineag]\nfile = "x"\n')
    with pytest.raises(ConfigError, match=r"mlopsfw\.toml:4: observer\.openlineag: no installed observer"):
        project.ledger.stream("a").append(PlainRecord("b", {}))
    with pytest.raises(ConfigError, match=r"observer\.a: must be a table"):
        make_project("[observer]\na = 1\n")


@pytest.mark.parametrize(
    ("kind", "name", "nearest"),
    [
        ("observer", "openlineag", "openlineage"), ("component", "featurs", ""), ("runtime", "onx", "onnx"),
        ("format", "cvs", "csv"), ("source", "htps", "https"),
    ],
)  # fmt: skip
def test_options_by_name_for_what_is_not_installed_are_an_error_and_break_the_schema(make_project, kind, name, nearest):
    project = make_project(f"[{kind}.{name}]\nurl = 'x'\n")
    if kind == "component":
        with pytest.warns(RuntimeWarning, match="`data forget` refuse"):
            assert project.components[-1].plugin == "component.featurs"
    with pytest.raises(ConfigError, match=rf"mlopsfw\.toml:4: {kind}\.{name}: no installed {kind}") as caught:
        project.ledger.stream("a").append(PlainRecord("b", {}))
    assert nearest in caught.value.hint
    schema = jsonschema.Draft202012Validator(config_schema(project.plugins))
    assert schema.is_valid({kind: {}})
    assert not schema.is_valid({kind: {name: {"url": "x"}}})


def test_listing_imports_no_plugin():
    code = "import sys; from mlopsfw.kernel.plugins.catalog import Catalog; c = Catalog().claims; \
            print(len(c), [m for m in sys.modules if m.startswith('mlopsfw_')])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    count, loaded = out.split(" ", 1)
    assert int(count) >= 9
    assert loaded.strip() == "[]"


def test_metadata_is_read_as_importlib_reads_it():
    from importlib.metadata import entry_points

    ours = {(c.key, c.module) for c in installed() if c.api == 1}
    assert ours == {(point.name, point.value) for point in entry_points(group="mlopsfw.v1")}


def test_records_forbid_unknown_fields():
    from mlopsfw.kernel.roles import alerting, artifact, bundle, deployer, engine, event, monitoring, training

    modules = (alerting, artifact, bundle, deployer, engine, event, monitoring, training)
    for module in modules:
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, msgspec.Struct) and value is not msgspec.Struct:
                assert value.__struct_config__.frozen, value


COMMAND = """
import click
from mlopsfw import hookimpl
@click.command("greet")
def greet(): click.echo("hello from acme")
@hookimpl
def mlopsfw_commands():
    yield greet
"""
CHECK = """
import msgspec
from mlopsfw import Provider, hookimpl
from mlopsfw.components import Check, Component, Diagnosis
class Options(msgspec.Struct, forbid_unknown_fields=True): ...
def build(config, host):
    def ask():
        yield Diagnosis("warning", f"the licence of {host.project} ends soon", "Renew it.")
    return Component(name="licence", checks=(Check("licence", "The licence is valid", ask),))
@hookimpl
def mlopsfw_components():
    yield Provider("licence", Options, build)
"""


def test_a_plugins_verb_is_found_by_its_entry_point_and_runs(plugin):
    from click.testing import CliRunner

    plugins = manager(plugin(COMMAND, kind="command", name="greet", module="greet_plugin"))
    assert CliRunner().invoke(plugins.command("greet")).output == "hello from acme\n"


def test_doctor_asks_a_plugins_questions_too(plugin, project):
    project.plugins = manager(plugin(CHECK, kind="component", name="licence", module="licence_plugin"))
    (answer,) = [f for f in project.doctor.examine() if f.check == "licence"]
    assert (answer.level, answer.message) == ("warning", "the licence of testproject ends soon")
    assert "licence" in [check.name for check in project.doctor.checks()]
