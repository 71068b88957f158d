"""A typo in the configuration is answered with file, line, key and nearest name, and nothing is run."""

from __future__ import annotations

import pytest

from mlopsfw.kernel.base.errors import ConfigError, UsageError
from mlopsfw.kernel.config import ProjectConfig
from mlopsfw.kernel.config.locate import key_lines
from mlopsfw.project.config import load_config


@pytest.fixture
def load(tmp_path):
    def read(text, **kwargs):
        file = tmp_path / "mlopsfw.toml"
        file.write_text(text, encoding="utf-8")
        return load_config(file, **kwargs)

    return read


GOOD = """\
[project]
name = "flights"

[trainer]
use = "torch"

[trainer.torch]
epochs = 3
hidden = [
  64,  # [not a header]
  32,
]

[[monitor]]
use = "drift"
[monitor.drift]
alpha = 0.01

[[monitor]]
use = "quality"

[steps.ingest]
source = "flights.csv"

[steps.clean]
python = "prepare:clean"
inputs = { rows = "ingest" }
params = { keep = 3 }

[env.prod.storage]
use = "object"
object.url = "s3://bucket/flights"
"""


def test_a_project_is_read_into_records(load):
    config = load(GOOD)
    assert config.name == "flights"
    assert config.selection("trainer").use == "torch"
    assert config.selection("trainer").options == {"epochs": 3, "hidden": [64, 32]}
    assert [m.use for m in config.selections("monitor")] == ["drift", "quality"]
    assert config.selections("monitor")[0].options == {"alpha": 0.01}
    assert config.steps["ingest"].use == "ingest"
    assert config.steps["ingest"].params == {"source": "flights.csv"}
    assert config.steps["clean"].inputs == {"rows": "ingest"}
    assert list(config.steps) == ["ingest", "clean"]


def test_an_environment_is_laid_over_and_a_set_over_that(load):
    config = load(GOOD, env="prod", overrides=["trainer.torch.epochs=9", "steps.clean.params.keep=five"])
    assert config.selection("storage").options == {"url": "s3://bucket/flights"}
    assert config.selection("trainer").options["epochs"] == 9
    assert config.selection("trainer").options["hidden"] == [64, 32]
    assert config.steps["clean"].params == {"keep": "five"}


def test_a_configuration_survives_the_trip_to_a_worker(load):
    config = load(GOOD, env="prod")
    assert ProjectConfig.from_json(config.to_json()) == config


WRONG = {
    "unknown table": ('[projct]\nname = "x"\n', 1, "projct", "project"),
    "unknown key of a role": ('[project]\nname = "x"\n[trainer]\nuze = "torch"\n', 4, "trainer.uze", "use"),
    "unknown key of a python step": ('[steps.a]\npython = "m:f"\nretry = 1\n', 3, "steps.a.retry", "retries"),
    "wrong type": ('[steps.a]\npython = "m:f"\n\nretries = "two"\n', 4, "steps.a.retries", ""),
    "wrong type in a nested table": ("[steps.a]\nuse = 'train'\ninputs = { rows = 3 }\n", 3, "steps.a.inputs", ""),
    "a role that is no table": ('trainer = "torch"\n', 1, "trainer", "[trainer]"),
    "a monitor that is no array": ('[monitor]\nuse = "drift"\n', 1, "monitor", "[[monitor]]"),
    "two alerters of one name": (
        '[[alerter]]\nuse = "webhook"\n[[alerter]]\nuse = "webhook"\n',
        3,
        "alerter.1",
        "name of its own",
    ),
    "two monitors of one name": (
        '[[monitor]]\nuse = "drift"\n[[monitor]]\nuse = "drift"\n',
        3,
        "monitor.1",
        "name of its own",
    ),
    "a misspelt table of tables": ('[step.a]\npython = "m:f"\n', 1, "step", "'steps'"),
    "wrong type in the project's own table": ("[project]\nname = 3\n", 2, "project.name", "expected `string`"),
    "unknown key in the project's own table": ('[project]\nnme = "x"\n', 2, "project.nme", "'name'"),
    "a number in the place of a table": ("[steps.a]\npython = 'm:f'\nparams = 5\n", 3, "steps.a.params", "`table`"),
    "both kinds of step": ('[steps.a]\nuse = "train"\npython = "m:f"\n', 1, "steps.a", "Keep `use`"),
    "a name that no file system takes": ('[project]\nname = "CON"\n', 2, "project.name", "lower-case"),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
def test_a_mistake_is_located(load, case, tmp_path):
    text, line, key, hint = case
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert (caught.value.file, caught.value.line) == (tmp_path / "mlopsfw.toml", line)
    assert caught.value.key.startswith(key)
    assert hint in str(caught.value)
    assert caught.value.exit_code == 2


def test_broken_toml_is_located(load):
    with pytest.raises(ConfigError) as caught:
        load('[project]\nname = "x\n')
    assert caught.value.line == 2


def test_an_unknown_environment_gets_the_nearest_name(load):
    with pytest.raises(ConfigError, match="prod"):
        load(GOOD, env="prdo")


def test_a_missing_file_says_how_to_start(tmp_path):
    with pytest.raises(UsageError, match="mlopsfw init"):
        load_config(tmp_path / "mlopsfw.toml")


def test_lines_are_found_past_multi_line_values_and_comments():
    lines = key_lines(
        'a = """\n[x]\nb = 1\n"""\n# [no]\n[t] # yes\nlist = [\n  "[u]",\n]\nc.d = { e = 1 }\n[[m]]\nk=1\n[[m]]\nk=2\n[m.sub]\nz=1\n'
    )
    assert lines == {
        "a": 1,
        "t": 6,
        "t.list": 7,
        "t.c.d": 10,
        "m.0": 11,
        "m.0.k": 12,
        "m.1": 13,
        "m.1.k": 14,
        "m.1.sub": 15,
        "m.1.sub.z": 16,
    }


@pytest.mark.parametrize("value", ["nan", "-inf", "[1.0, inf]", "{ low = nan }", "99999999999999999999"])
def test_a_number_that_no_worker_could_read_is_refused_with_its_line(load, value):
    with pytest.raises(ConfigError, match=r"mlopsfw.toml:28: steps\.clean\.params\.keep") as caught:
        load(GOOD.replace("keep = 3", f"keep = {value}"))
    assert "finite" in str(caught.value) or "64 bits" in str(caught.value)
