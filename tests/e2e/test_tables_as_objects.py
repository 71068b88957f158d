"""From `data add` to an alarm over captures, and to a person forgotten, on a storage that has no place for tables: Acme's one SQLite file."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlopsfw.capturelog.records import Header, Predictions, encode
from mlopsfw.capturelog.writer import CaptureWriter
from mlopsfw.cli import run
from mlopsfw.project.facade import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
ACME = Path(__file__).parents[2] / "examples/acme-plugin/src"
START = datetime(2026, 3, 1, tzinfo=UTC)
TOML = """
[project]
name = "p"
[storage]
use = "acme"
[privacy]
key = "env:KEY"
[trainer.torch]
epochs = 2
hidden = [8]
[steps.split]
inputs = { rows = "data:/people" }
by = "fraction"
validation = 0.2
[steps.train]
inputs = { train = "split.train", valid = "split.validation" }
task = "binary"
target = "late"
exclude = ["customer"]
[steps.evaluate]
inputs = { model = "train", rows = "split.validation", train = "split.train" }
[steps.register]
inputs = { model = "train", metrics = "evaluate" }
name = "delay"
alias = "champion"
[[monitor]]
use = "drift"
[monitor.drift]
min_rows = 50
"""


@pytest.fixture
def mlopsfw(tmp_path, monkeypatch, install_plugin, capsys):
    """Return what runs a command line in the project and returns what it printed; it must succeed."""
    monkeypatch.setenv("KEY", "ab" * 32)
    monkeypatch.setenv("PYTHONPATH", str(ACME), prepend=":")
    monkeypatch.syspath_prepend(ACME)
    install_plugin("from acme_mlops.storage import mlopsfw_storages", "storage.acme")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlopsfw.toml").write_text(TOML)

    def call(*words, code=0):
        assert run(list(words)) == code, capsys.readouterr().err
        return capsys.readouterr().out

    return call


def rows(mlopsfw):
    return json.loads(mlopsfw("data", "show", "people", "--json"))["version"]["rows"]


def people(count, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=count)
    return pl.DataFrame({"customer": [f"c{seed}-{n}" for n in range(count)], "x": x, "late": x > 0})


def capture(day, mean):
    """Let the champion predict a day's rows, and capture that as an endpoint does."""
    x = np.random.default_rng(day).normal(mean, 1, 200)
    micros = [int((START + timedelta(days=day, minutes=n)).timestamp() * 1e6) for n in range(200)]
    with Project.open(Path.cwd()) as project:
        version = project.registry.resolve("models:/delay@champion")
        bundle = project.bundles.open(project.blobs.get_folder(version.bundle, Path.cwd() / f"laid-{day}"))
        names = tuple(output.name for output in bundle.manifest.outputs)
        header = Header(
            endpoint="delay", revision=1, model="delay", version=1, bundle=version.bundle,
            inputs=bundle.manifest.inputs, outputs=names,
        )  # fmt: skip
        answers = bundle.predict({"x": x})
        predictions = Predictions(
            ids=[f"{day}-{n}" for n in range(200)], event_times=micros, processed_time=micros[0],
            inputs={"x": x.tolist()}, outputs={name: answers[name].tolist() for name in names},
        )  # fmt: skip
        writer = CaptureWriter(project.captures.folder("delay"), header)
        writer.write([(encode(predictions), 200)])
        writer.close()
        project.captures.compact("delay")


def test_from_data_add_to_an_alarm_over_captures_and_a_person_forgotten(mlopsfw, tmp_path):
    people(300, 1).write_csv("monday.csv")
    people(300, 2).write_csv("tuesday.csv")
    mlopsfw("data", "add", "people", "monday.csv")
    mlopsfw("data", "add", "people", "tuesday.csv", "--append")
    assert rows(mlopsfw) == 600
    assert "300" in mlopsfw("data", "diff", "people", "1", "2")
    mlopsfw("data", "restore", "people", "1")
    assert rows(mlopsfw) == 300
    mlopsfw("run")

    capture(0, mean=0.0)
    capture(1, mean=3.0)
    calm, alarm = (
        json.loads(
            mlopsfw("monitor", "run", "delay", "--from", f"2026-03-0{day}", "--to", f"2026-03-0{day + 1}", "--json")
        )
        for day in (1, 2)
    )
    assert [each["report"]["alarm"] for each in (*calm, *alarm)] == [False, True]

    mlopsfw("data", "forget", "people", "--key", "customer=c1-7", "--yes")
    mlopsfw("data", "verify", "people")
    assert rows(mlopsfw) == 299
    mlopsfw("data", "vacuum", "people", "--keep", "1", "--force")
    mlopsfw("doctor", "--verify")
    assert not (tmp_path / ".mlopsfw/store").exists()


def test_what_the_copies_hold_can_be_deleted_at_any_time(mlopsfw, tmp_path):
    import shutil

    people(30, 1).write_csv("monday.csv")
    mlopsfw("data", "add", "people", "monday.csv")
    shutil.rmtree(tmp_path / ".mlopsfw/tables")
    assert rows(mlopsfw) == 30
