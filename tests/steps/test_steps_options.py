"""A wrong option of a step, of `[[monitor]]` or of the project is an error when the pipeline is read: nothing runs."""

from __future__ import annotations

import pytest

from mlopsfw.errors import ConfigError, UsageError
from mlopsfw.pipeline.run.display import Display
from mlopsfw.project.facade import Project
from mlopsfw.steps.training_params import TrainParams

_SPLIT = {"by": "fraction", "test": 0.2}


def toml(step, options):
    return f"[steps.{step}]\n" + "".join(f"{key} = {value}\n" for key, value in options.items())


def opened(folder, text):
    (folder / "mlopsfw.toml").write_text(f'[project]\nname = "p"\n{text}', encoding="utf-8")
    return Project.open(folder)


@pytest.mark.parametrize(
    ("step", "options", "key"),
    [
        ("register", {"name": '"Team/Delay"'}, "name"),
        ("register", {"name": '""'}, "name"),
        ("register", {"name": '"m"', "alias": '"prod/eu"'}, "alias"),
        ("register", {"name": '"m"', "alias": '"3"'}, "alias"),
        ("register", {"name": '"m"', "alias": '"latest"'}, "alias"),
        ("deploy", {"model": '"data:/m@1"'}, "model"),
        ("deploy", {"model": '"models:/m"', "endpoint": '"Prod EU"'}, "endpoint"),
        ("evaluate", {"champion": '"models:/M@champion"'}, "champion"),
        ("gate", {"rules": '["auc > "]'}, "rules"),
        ("gate", {"rules": '["auc > 0.5"]', "model": '"M"'}, "model"),
        ("gate", {"rules": '["auc > 0.5"]', "alias": '"7"'}, "alias"),
        ("join", {"at": '"t"', "known_after": '"30 minutes"'}, "known_after"),
        ("join", {"at": '"t"', "tolerance": '"soon"'}, "tolerance"),
        ("monitor", {"endpoint": '"E/1"', "start": '"2013-03-01"', "end": '"2013-03-02"'}, "endpoint"),
        ("monitor", {"endpoint": '"e"', "start": '"2013-02-30"', "end": '"2013-03-02"'}, "start"),
        ("monitor", {"endpoint": '"e"', "start": '"2013-03-01"', "end": '"x"'}, "end"),
        ("monitor", {"endpoint": '"e"', "start": '"2013-03-01"', "end": '"2013-03-02"', "zone": '"Mars"'}, "zone"),
        ("ingest", {"dataset": '"Rows"', "path": '"a.csv"'}, "dataset"),
        ("ingest", {"dataset": '"rows"'}, "path"),
        ("ingest", {"dataset": '"rows"', "path": '"a.csv"', "max_bad": "1.0"}, "max_bad"),
        ("ingest", {"dataset": '"rows"', "path": '"a.csv"', "max_ratio": "0.5"}, "max_ratio"),
        ("ingest", {"dataset": '"rows"', "path": '"a.csv"', "lookback": "-1.0"}, "lookback"),
        ("ingest", {"dataset": '"rows"', "path": '"a.csv"', "mode": '"upsert"'}, "key"),
        ("ingest", {"dataset": '"rows"', "path": '"a.csv"', "types": '{ a = "int65" }'}, "types.a"),
        ("split", {"by": '"fraction"', "test": "1.5"}, "test"),
        ("split", {"by": '"fraction"', "test": "0.6", "validation": "0.5"}, "test"),
        ("split", {"by": '"fraction"', "validation": '"2013-03-01"'}, "validation"),
        ("split", {"by": '"time"', "test": '"2013-03-01"'}, "column"),
        ("split", {"by": '"time"', "column": '"t"', "test": '"2013-02-30"'}, "test"),
        ("split", {"by": '"time"', "column": '"t"', "test": "0.2"}, "test"),
        ("split", {"by": '"time"', "column": '"t"', "test": '"2013-02-01"', "start": '"x"'}, "start"),
        ("split", {"by": '"column"', "column": '"t"', "train": '["a"]', "test": "0.2"}, "test"),
        ("leakage", {"target": '"y"', "limit": "1.5"}, "limit"),
        ("train", {"task": '"binary"', "target": '"y"', "quantiles": "[0.1, 0.9]"}, "quantiles"),
        ("train", {"task": '"regression"', "target": '"y"', "quantiles": "[0.9, 0.1]"}, "quantiles"),
        ("train", {"task": '"regression"', "target": '"y"', "quantiles": "[0.1]"}, "quantiles"),
        ("train", {"task": '"regression"', "target": '"y"', "quantiles": "[0.1, 1.0]"}, "quantiles.1"),
        ("train", {"task": '"regression"', "target": '""'}, "target"),
        ("train", {"task": '""', "target": '"y"'}, "task"),
        ("train", {"task": '"regression"', "target": '"y"', "seed": "-1"}, "seed"),
        ("split", {"by": '"fraction"', "test": "0.2", "seed": "-1"}, "seed"),
        ("ingest", {"dataset": '"rows"', "path": '""'}, "path"),
        ("ingest", {"dataset": '"rows"', "path": '["a.csv", " "]'}, "path"),
        ("register", {"name": '"m"', "timeout": "-1"}, "timeout"),
        ("register", {"name": '"m"', "retries": "-1"}, "retries"),
    ],
)
def test_a_wrong_option_of_a_step_is_refused_with_its_line_before_anything_runs(tmp_path, step, options, key):
    with (
        pytest.raises(ConfigError, match=rf"mlopsfw\.toml:\d+: steps\.{step}\.{key}: "),
        opened(tmp_path, toml(step, options)) as project,
    ):
        project.pipeline.start(Display(project.workspace, None))
    assert not (tmp_path / ".mlopsfw" / "store").exists()


@pytest.mark.parametrize(
    "option", ["port = 99999", "port = -1", "hang_seconds = 0", "drain_seconds = -1", "max_body = 0"]
)
def test_a_wrong_option_of_the_server_is_refused_before_anything_runs(tmp_path, option):
    text = (
        toml("ingest", {"dataset": '"rows"', "path": '"a.csv"'})
        + f'[deployer]\nuse = "http"\n[deployer.http]\n{option}\n'
    )
    with (
        pytest.raises(ConfigError, match=rf"mlopsfw\.toml:\d+: deployer\.http\.{option.split()[0]}: "),
        opened(tmp_path, text) as project,
    ):
        project.pipeline.start(Display(project.workspace, None))
    assert not (tmp_path / ".mlopsfw" / "store").exists()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[[monitor]]\nuse = "drift"\nmodels = ["M/1"]\n', "monitor.0.models"),
        ('[[monitor]]\nuse = "drift"\nendpoints = ["M/1"]\n', "monitor.0.endpoints"),
        ('[[monitor]]\nuse = "drift"\nreference = "models:/m"\n', "monitor.0.reference"),
        ('[[monitor]]\nuse = "drift"\nshare = 2.0\n', "monitor.0.share"),
        ('[capture]\nmax_event_age = "long"\n', "capture.max_event_age"),
        ('[capture]\nmax_event_lead = "300000d"\n', "capture.max_event_lead"),
    ],
)
def test_a_wrong_option_of_the_project_is_refused_when_the_file_is_read(tmp_path, text, key):
    with pytest.raises(ConfigError, match=rf"mlopsfw\.toml:\d+: {key}: "):
        opened(tmp_path, text)


def test_a_word_that_is_none_of_the_choices_is_answered_with_the_choices(tmp_path):
    with (
        pytest.raises(ConfigError, match=r"steps\.split\.by: .*'random'") as caught,
        opened(tmp_path, toml("split", {"by": '"random"'})) as project,
    ):
        project.pipeline.start(Display(project.workspace, None))
    assert all(word in caught.value.hint for word in ("time", "fraction", "column"))


def test_an_option_checks_itself_in_python_too():
    from mlopsfw.steps.register import RegisterParams

    with pytest.raises(UsageError, match="alias 'prod/eu' cannot be used"):
        RegisterParams(name="m", alias="prod/eu")


@pytest.mark.parametrize(
    ("text", "key"),
    [("[metric.money]\nover = -2\n", "metric.money.over"), ("[metric.mony]\nover = 2\n", "metric.mony")],
)
def test_a_wrong_table_of_a_metric_is_refused_with_its_line_before_anything_runs(tmp_path, text, key):
    evaluate = toml("evaluate", {"inputs": '{ model = "models:/m@1", rows = "data:/rows@1" }'})
    with (
        opened(tmp_path, f"{evaluate}{text}") as project,
        pytest.raises(ConfigError, match=rf"mlopsfw\.toml:\d+: {key}: "),
    ):
        project.pipeline.start(Display(project.workspace, None))
    assert not (tmp_path / ".mlopsfw" / "store").exists()


def test_a_task_of_a_plugins_own_may_have_no_target():
    assert TrainParams(task="anomaly", target="").target == ""
