"""Providers have names: two of one kind side by side, reached by name from the command line, old files as they were."""

from __future__ import annotations

import pytest

from mlopsfw.errors import ConfigError
from mlopsfw.project.config import load_config


@pytest.fixture
def load(tmp_path):
    def read(text, **options):
        (tmp_path / "mlopsfw.toml").write_text(f'[project]\nname = "x"\n{text}')
        return load_config(tmp_path / "mlopsfw.toml", **options)

    return read


NAMED = """
[trainer]
use = "boosted"
[trainer.boosted]
use = "lightgbm"
leaves = 31
[trainer.deep]
use = "torch"
epochs = 3
[trainer.torch]
epochs = 9
[[alerter]]
name = "oncall"
use = "webhook"
url = "https://a.example"
[[alerter]]
use = "webhook"
[alerter.webhook]
url = "https://b.example"
"""


def test_two_of_one_kind_live_side_by_side(load):
    config = load(NAMED)
    assert (
        config.selection("trainer").use,
        config.selection("trainer").called,
        config.selection("trainer").options,
    ) == (
        "lightgbm",
        "boosted",
        {"leaves": 31},
    )
    by_name = {each.called: (each.use, each.options) for each in config.named["trainer"]}
    assert by_name["deep"] == ("torch", {"epochs": 3})
    assert by_name["torch"] == ("torch", {"epochs": 9})
    assert [(a.called, a.use, a.options["url"]) for a in config.selections("alerter")] == [
        ("oncall", "webhook", "https://a.example"), ("webhook", "webhook", "https://b.example"),
    ]  # fmt: skip


def test_one_without_a_name_is_called_after_its_kind(load):
    config = load('[trainer]\nuse = "torch"\n[[monitor]]\nuse = "drift"\n[[monitor]]\n[monitor.quality]\na = 1\n')
    assert config.selection("trainer").called == "torch"
    assert [(m.called, m.use, m.options) for m in config.selections("monitor")] == [("drift", "drift", {}), ("quality", "quality", {"a": 1})]  # fmt: skip


def test_a_step_may_name_any_trainer_and_the_default_may_be_missing(load):
    config = load('[trainer.a]\nuse = "torch"\n[trainer.b]\nuse = "torch"\n')
    [(role, selection)] = config.providers("trainer.b")
    assert (role, selection.called) == ("trainer", "b")
    with pytest.raises(ConfigError, match="none of a, b is the default trainer"):
        config.providers("trainer.", "steps.train")
    with pytest.raises(ConfigError, match="no trainer is called 'c'"):
        config.providers("trainer.c")


@pytest.mark.parametrize(
    ("override", "name", "value"),
    [
        ("alerter.oncall.url=https://c.example", "oncall", "https://c.example"),
        ("alerter.webhook.url=https://c.example", "webhook", "https://c.example"),
        ("alerter.webhook.webhook.url=https://c.example", "webhook", "https://c.example"),
    ],
)
def test_a_set_reaches_into_a_list_by_name(load, override, name, value):
    alerters = {each.called: each.options["url"] for each in load(NAMED, overrides=[override]).selections("alerter")}
    assert alerters == {"oncall": "https://a.example", "webhook": "https://b.example"} | {name: value}


def test_a_set_reaches_a_named_trainer_and_chooses_the_default(load):
    config = load(NAMED, overrides=["trainer.deep.epochs=5", "trainer.use=deep"])
    assert (config.selection("trainer").use, config.selection("trainer").options) == ("torch", {"epochs": 5})


def test_an_environment_reaches_into_a_list_by_name_and_a_list_replaces_it(load):
    by_name = load(f'{NAMED}[env.prod.alerter.oncall]\nurl = "https://d.example"\n', env="prod")
    assert [a.options["url"] for a in by_name.selections("alerter")] == ["https://d.example", "https://b.example"]
    whole = load(f'{NAMED}[[env.prod.alerter]]\nuse = "console"\n', env="prod")
    assert [a.called for a in whole.selections("alerter")] == ["console"]


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("alerter.oncal.url=x", "no alerter is called 'oncal'.*'oncall'"),
        ("alerter.oncall=x", "must be given a key"),
        ("alerter.oncall.name=webhook", "two of .*alerter.* are called 'webhook'"),
    ],
)
def test_a_set_that_reaches_nothing_is_an_error(load, override, says):
    with pytest.raises(ConfigError) as caught:
        load(NAMED, overrides=[override])
    import re

    assert re.search(says, str(caught.value), re.DOTALL)


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ('[[alerter]]\nuse = "webhook"\nnme = 1\n[alerter.webhook]\nurl = "x"\n', "alerter.0.nme", "'name'"),
        ('[trainer]\nuse = "torch"\nepochs = 3\n', "trainer.epochs", ""),
        ('[[alerter]]\nuse = "webhook"\nname = ""\n', "alerter.0.name", ""),
        ('[storage.a]\nuse = "object"\n[storage.b]\nuse = "object"\n', "storage.use", "use ="),
    ],
)
def test_a_mistake_in_a_selection_is_located(load, text, key, hint):
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert caught.value.key == key
    assert hint in caught.value.hint


@pytest.mark.parametrize("options", ['password = { a = "sesame" }', 'secret = "sesame"', "[alerter.webhook]\npassword = { a = 'sesame' }"])  # fmt: skip
def test_a_secret_in_clear_is_refused_wherever_options_stand(load, options):
    with pytest.raises(ConfigError, match="holds a secret in plain text"):
        load(f'[[alerter]]\nuse = "webhook"\n{options}\n')
