"""Providers by name in a project: each is built, counted and reported under its own."""

from __future__ import annotations

import tomllib

import pytest

from mlopsfw.errors import ConfigError
from mlopsfw.kernel.plugins.catalog import Catalog
from mlopsfw.kernel.plugins.manager import PluginManager
from mlopsfw.project.config.schema import config_schema

PLUGINS = """
import msgspec
from mlopsfw import Provider, hookimpl
class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mark: str = ""
class Thing:
    def __init__(self, options, host):
        self.mark, self.folder = options.mark, host.private_folder()
        self.tasks, self.abilities = (self.mark,), (str(self.folder),)
    fit = signals = None
    def deliver(self, alert):
        (self.folder / "delivered").write_text(self.mark + alert.title)
@hookimpl
def mlopsfw_trainers(): yield Provider("bell", Options, Thing, "")
@hookimpl
def mlopsfw_alerters(): yield Provider("bell", Options, Thing, "")
@hookimpl
def mlopsfw_monitors(): yield Provider("bell", Options, Thing, "")
"""
TRAIN = '[steps.train]\ntask = "binary"\ntarget = "y"\ninputs = { train = "data:/rows" }\n'
TWO = '[trainer.loud]\nuse = "bell"\nmark = "loud"\n[trainer.soft]\nuse = "bell"\nmark = "soft"\n'


@pytest.fixture
def named(install_plugin, make_project):
    install_plugin(PLUGINS, "trainer.bell", "alerter.bell", "monitor.bell")
    return make_project


def test_two_trainers_of_one_kind_are_two(named):
    providers = named(TWO).providers
    assert (providers.trainer("loud").tasks, providers.trainer("soft").tasks) == (("loud",), ("soft",))
    assert providers.trainer("loud").abilities != providers.trainer("soft").abilities
    assert providers.trainer("loud").tasks == ("loud",)
    with pytest.raises(ConfigError, match="none of loud, soft is the default trainer"):
        providers.trainer()


def test_a_step_counts_the_trainer_that_it_names_for_the_cache_and_no_other(named):
    def print_of(toml):
        project = named(toml)
        node = project.pipeline.graph.nodes["train"]
        return project.pipeline.fingerprinter().fingerprint(node, {})

    loud = print_of(f'{TWO}{TRAIN}trainer = "loud"\n')
    assert list(loud.options) == ["trainer.loud"]
    assert "trainer.bell" in loud.plugins
    assert print_of(TWO.replace('"soft"', '"softer"') + f'{TRAIN}trainer = "loud"\n').key == loud.key
    assert print_of(TWO.replace('"loud"', '"louder"') + f'{TRAIN}trainer = "loud"\n').key != loud.key


def test_a_step_that_names_no_trainer_there_is_is_told_the_nearest_with_its_line(named):
    project = named(f'{TWO}{TRAIN}trainer = "luod"\n')
    with pytest.raises(ConfigError, match=r"mlopsfw\.toml:10: steps\.train: no trainer is called 'luod'") as caught:
        project.pipeline.plan()
    assert "'loud'" in caught.value.hint
    with pytest.raises(ConfigError, match=r"steps\.train: none of loud, soft is the default trainer"):
        named(f"{TWO}{TRAIN}").pipeline.plan()


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        (TWO.replace('mark = "soft"', 'mrak = "soft"'), r"mlopsfw\.toml:9: trainer\.soft\.mrak: unknown key"),
        (f'{TWO}[[alerter]]\nname = "a"\nuse = "bell"\nmrak = "x"\n', r"alerter\.0\.mrak: unknown key"),
        (f'{TWO}[[monitor]]\nname = "a"\nuse = "bel"\n', r"monitor\.0\.use: no installed monitor is called 'bel'"),
    ],
)
def test_the_options_of_a_named_provider_are_checked_where_they_stand(named, toml, says):
    with pytest.raises(ConfigError, match=says):
        named(f'{toml}{TRAIN}trainer = "loud"\n').pipeline.plan()


def test_an_alert_goes_to_each_alerter_by_its_own_name(named):
    project = named(
        '[[alerter]]\nname = "oncall"\nuse = "bell"\nmark = "!"\n[[alerter]]\nuse = "bell"\n[alerter.bell]\nmark = "?"\n'
    )
    project.alerts.raise_("g", "info", "Hello", "")
    assert project.alerts.pump().delivered == 2
    files = {name: project.private_folder("plugins", f"alerter.{name}") / "delivered" for name in ("oncall", "bell")}
    assert {name: file.read_text() for name, file in files.items()} == {"oncall": "!Hello", "bell": "?Hello"}
    assert {name for _, name in project.alerts.outbox().alerts.popitem()[1].deliveries} == {"oncall", "bell"}


def test_monitors_are_kept_by_name(named):
    project = named('[[monitor]]\nname = "day"\nuse = "bell"\nmark = "d"\n[[monitor]]\nuse = "bell"\n')
    assert {name: project.providers.monitor(name).mark for name in ("day", "bell")} == {"day": "d", "bell": ""}


@pytest.mark.parametrize(
    ("toml", "right"),
    [
        (TWO, True),
        ('[trainer]\nuse = "loud"\n' + TWO, True),
        ('[trainer]\nuse = "bell"\n[trainer.bell]\nmark = "x"\n', True),
        ('[[alerter]]\nname = "a"\nuse = "bell"\nmark = "x"\n', True),
        ('[[alerter]]\nuse = "bell"\n[alerter.bell]\nmark = "x"\n', True),
        ('[[alerter]]\n[alerter.bell]\nmark = "x"\n', True),
        ('[env.prod.alerter.a]\nmark = "x"\n', True),
        (TWO.replace("mark", "mrak"), False),
        ('[trainer.loud]\nmark = "x"\n', False),
        ('[[alerter]]\nname = "a"\nuse = "bell"\nmrak = "x"\n', False),
        ('[[alerter]]\nname = 3\nuse = "bell"\n', False),
        ('[[alerter]]\nuse = "bel"\n', False),
        ('[[alerter]]\nuse = "bell"\n[alerter.bell]\nmrak = "x"\n', False),
    ],
)
def test_an_editor_takes_what_is_right_and_marks_what_is_wrong(named, toml, right):
    jsonschema = pytest.importorskip("jsonschema")
    schema = jsonschema.Draft202012Validator(config_schema(PluginManager(Catalog())))
    assert schema.is_valid(tomllib.loads(toml)) is right
