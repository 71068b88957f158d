"""The pages that are about a model run as they stand, each as one story in a project of its own with the model `delay` in it."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from blocks import STORIES, say
from story import Story, written

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

CONFIG = {
    "project": {"name": "flights"},
    "steps": {
        "ingest": {"dataset": "flights", "path": "flights.csv"},
        "split": {"inputs": {"rows": "ingest"}, "by": "time", "column": "scheduled", "validation": "2013-03-11", "test": "2013-03-18"},
        "train": {"inputs": {"train": "split.train", "valid": "split.validation"}, "task": "binary", "target": "late", "features": ["carrier", "distance"]},
        "evaluate": {"inputs": {"model": "train", "rows": "split.test", "train": "split.train"}},
        "gate": {"inputs": {"metrics": "evaluate"}, "rules": ["auc > 0.5"]},
        "register": {"inputs": {"model": "train", "metrics": "gate"}, "name": "delay", "alias": "champion"},
    },
    "trainer": {"use": "lightgbm"},
    "monitor": [{"use": "drift"}],
}  # fmt: skip
"""The README's pipeline, with a trainer that takes less time."""
START = datetime(2013, 1, 1, tzinfo=UTC)


def flights(first: int, days: int, *, seed: int = 1) -> pl.DataFrame:
    """Return 12 flights a day, which carrier and distance make late."""
    rng, rows = np.random.default_rng(seed), days * 12
    times = [START + timedelta(days=first, hours=2 * number) for number in range(rows)]
    carrier, wind = rng.choice(["UA", "AA", "DL"], rows), rng.gamma(2, 5, rows).round(1)
    distance = rng.integers(100, 2500, rows)
    late = rng.random(rows) < np.where((carrier == "UA") ^ (distance > 1200), 0.9, 0.2)  # no line learns that
    return pl.DataFrame(
        {
            "scheduled": times,
            "day": [time.timetuple().tm_yday for time in times],
            "sched_dep_time": [time.hour * 100 + 15 for time in times],
            "carrier": carrier,
            "distance": distance,
            "scheduled_minutes": distance // 8 + 30,
            "tailnum": [f"N{number}" for number in rng.integers(1, 20, rows)],
            "weather_wind": wind,
            "origin": rng.choice(["EWR", "JFK"], rows),
            "delay": rng.integers(-10, 60, rows),
            "late": late,
        }
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a folder with a project that has two versions of the model, the first of which is the champion."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        flights(0, 84).write_csv("flights.csv")
        Path("mlopsfw.toml").write_text(written(CONFIG))
        say(["mlopsfw", "run", "--debug"])
        say(["mlopsfw", "run", "--debug", "--set", "trainer.lightgbm.num_leaves=7", "--set", "steps.register.alias="])
    return folder


@pytest.fixture
def story(trained, tmp_path, monkeypatch):
    """Return a maker of stories in a copy of that project."""
    shutil.copytree(trained, tmp_path / "flights")
    monkeypatch.chdir(tmp_path / "flights")
    return lambda page, **options: Story(page, config=dict(CONFIG), **options)


@pytest.mark.server
@pytest.mark.timeout(300)
def test_serving(story, monkeypatch):
    rows = flights(84, 30, seed=2).drop("late")
    rows.head(20).write_csv("rows.csv")
    rows.with_columns(event_time="scheduled").write_parquet("flights.parquet")

    def address():
        monkeypatch.setenv(
            "URL", json.loads(say(["mlopsfw", "endpoints", "status", "delay", "--json"]))["status"]["url"]
        )

    def labels():
        answer = json.loads(page.said[-1])
        row = f"{answer['parameters']['prediction_ids'][0]},true,2013-04-02T00:00:00Z"
        Path("labels.csv").write_text(f"prediction_id,label,label_time\n{row}\n")

    page = story("serving.md", before={"curl": address, "mlopsfw labels add": labels})
    try:
        page.run()
    finally:
        say(["mlopsfw", "endpoints", "stop", "delay"])
    assert pl.read_parquet("scored.parquet").height == rows.height


@pytest.fixture
def captured(trained, story, monkeypatch):
    """Have a batch deployer answer for the flights of May and a part of June, at an endpoint that is called as the model."""
    flights(120, 49, seed=3).drop("late").with_columns(event_time="scheduled").write_parquet("rows.parquet")
    batch = written({**CONFIG, "deployer": {"use": "batch"}})
    Path("mlopsfw.toml").write_text(batch)
    say(["mlopsfw", "deploy", "delay"])
    say(["mlopsfw", "predict", "endpoints:/delay", "rows.parquet", "--out", "answers.parquet"])
    monkeypatch.setenv("ID", pl.read_parquet("answers.parquet")["prediction_id"][0])


@pytest.mark.usefixtures("captured")
def test_monitoring(story, monkeypatch):
    secret = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    monkeypatch.setenv("HOOK_SECRET", f"whsec_{secret}")
    vector = {
        "key": base64.b64decode(secret),
        "webhook_id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook_timestamp": 1614265330,
        "body": b'{"test": 2432232314}',
    }
    page = story("monitoring.md", names=vector)
    page.run()
    say(["mlopsfw", "monitor", "run", "delay", "--from", "2013-06-01", "--html", "june.html", "--no-alert"])
    assert "Trend over 2 windows" in Path("june.html").read_text(encoding="utf-8")
    assert page.names["expected"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.usefixtures("captured")
def test_lineage(story, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENLINEAGE_TOKEN", "a token that goes nowhere")
    remote, other = tmp_path / "remote", tmp_path / "other"
    other.mkdir()
    git = ["git", "-c", "user.name=ada", "-c", "user.email=ada@example.com"]
    for words in (["init", "-q"], ["add", "mlopsfw.toml"], ["commit", "-q", "-m", "flights"]):
        subprocess.run([*git, *words], check=True)
    subprocess.run(["git", "init", "-q", "--bare", str(remote)], check=True)
    subprocess.run(["git", "remote", "add", "origin", str(remote)], check=True)
    page = story("lineage.md", places={"/mnt/other-bucket": str(other)})
    page.run()
    assert "models:/delay@1" in Path("trace.html").read_text(encoding="utf-8")
    assert (other / "checkpoints.jsonl").exists()


def test_features(story):
    pl.DataFrame({"tailnum": [f"N{number}" for number in range(20)], "seats": range(100, 120)}).write_csv("planes.csv")
    flights(84, 2).drop("late").write_csv("rows.csv")
    page = story("features.md")
    page.config["trainer"] = {"use": "torch", "torch": {"epochs": 1, "network": "mlp"}}
    page.run()
    assert pl.read_parquet("scored.parquet")["probability"].is_between(0, 1).all()


def made_elsewhere():
    """Write the model files that other tools would have written, and the rows that one of them learned from."""
    import lightgbm
    import onnx
    import xgboost
    from onnx import TensorProto as T
    from onnx import helper as h

    rows = flights(0, 84).select("distance", "scheduled_minutes", "late")
    rows.write_csv("legs.csv")
    say(["mlopsfw", "data", "add", "legs", "legs.csv"])
    column = lambda name: h.make_tensor_value_info(name, T.FLOAT, ["rows"])  # noqa: E731
    nodes = [
        h.make_node("Sub", ["scheduled_minutes", "distance"], ["sum"]),
        h.make_node("Sigmoid", ["sum"], ["probability"]),
    ]
    graph = h.make_graph(nodes, "g", [column("distance"), column("scheduled_minutes")], [column("probability")])
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 18)], ir_version=9), "model.onnx")
    inputs, labels = rows.drop("late").to_numpy().astype(float), rows["late"].to_numpy()
    booster = lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(inputs, labels), 3)
    booster.save_model("model.txt")
    forest = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(inputs, labels), 3)
    forest.save_model("model.ubj")
    folder = Path("mlruns/0/RUN/artifacts/model")
    folder.mkdir(parents=True)
    booster.save_model(folder / "model.lgb")
    (folder / "MLmodel").write_text("flavors:\n  lightgbm:\n    data: model.lgb\n")


def test_training(story):
    words = [(f"{'bad' if n % 3 == 0 else 'fine'} flight {n % 7}", n % 5, n % 3 != 0) for n in range(120)]
    pl.DataFrame(words, orient="row", schema=["text", "stars", "good"]).write_csv("reviews.csv")
    page = story("training.md", before={"mlopsfw models import model.onnx": made_elsewhere})
    page.run()
    assert "valid_loss" in page.said[1]


def test_pipelines(story, tmp_path, monkeypatch, acme):
    package = tmp_path / "site" / "acme"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "features.py").write_text("def build(rows):\n    return rows\n")
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setenv("REGION", "east")
    Path("rates.json").write_text('{"east": 1.5}')
    pl.DataFrame({"origin": ["EWR", "JFK"], "height": [5, 4]}).write_csv("airports.csv")
    page = story("pipelines.md")
    page.run()
    assert "the arrivals team" in page.said[-1]


def test_concerns(story):
    flights(84, 10, seed=2).drop("late").write_csv("rows.csv")
    page = story("concerns.md")
    page.run()
    assert {"contribution", "contribution[carrier]"} <= set(pl.read_csv("scored.csv").columns)
    assert json.loads(Path("bom.json").read_text())["specVersion"] == "1.7"


def test_runs(story):
    page = story("runs.md")
    page.run()
    assert json.loads(next(said for said in page.said if said.startswith("{")))["auc"] > 0.5
    assert pl.read_parquet("test.parquet").height == 96
    (month,) = json.loads(page.said[-1])
    assert month["runs"] > 2


def test_installation(story):
    page = story("installation.md")
    page.run()
    assert len(page.said) == 8


def test_each_page_that_is_a_story_has_a_test_here():
    assert {f"test_{page.removesuffix('.md')}" for page in STORIES} <= globals().keys()
