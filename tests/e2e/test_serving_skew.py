"""What runs on one row where a model is served is what ran in training: a real pipeline, a real endpoint, raw rows over HTTP."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from mlopsfw.kernel.base.errors import MlopsfwError, ServingSkew
from mlopsfw.pipeline.run.display import Display
from mlopsfw.project.facade import Project

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(300)]

TOML = """
[project]
name = "toy"

[steps.weather]
use = "sql"
inputs = { rows = "data:/flights" }
query = "SELECT *, distance / 100 AS rain FROM rows"

[steps.train]
inputs = { train = "weather", planes = "data:/planes" }
task = "binary"
target = "late"
features = ["minute", "weekend", "carrier", "rain", "seats", "maker"]
lookup = { planes = "tailnum" }

[steps.train.derive]
minute = "sched // 100 * 60 + sched % 100"
weekend = "scheduled.dt.convert_time_zone('America/New_York').dt.weekday() >= 6"
seats = "planes[tailnum].seats"
maker = "planes[tailnum].maker.fill_null('unknown').str.to_lowercase()"

[steps.register]
inputs = { model = "train" }
name = "toy"
alias = "champion"

[trainer.torch]
epochs = 2
batch_size = 64
hidden = [8]
"""


def flights(count):
    draw = np.random.default_rng(0)
    minute = draw.integers(0, 1440, count)
    begin = datetime(2013, 1, 1, tzinfo=UTC)
    return pl.DataFrame(
        {
            "sched": minute // 60 * 100 + minute % 60,
            "scheduled": [begin + timedelta(minutes=int(each) * 37) for each in minute],
            "carrier": draw.choice(["UA", "AA", "B6"], count),
            "tailnum": draw.choice(["N1", "N2", "N3", "N9"], count),
            "distance": draw.uniform(100, 3000, count),
            "late": minute + draw.normal(0, 300, count) > 800,
        }
    )


PLANES = pl.DataFrame({"tailnum": ["N1", "N2", "N3"], "seats": [2, 189, None], "maker": ["Boeing", None, "AIRBUS"]})


@pytest.fixture
def project(tmp_path):
    (tmp_path / "mlopsfw.toml").write_text(TOML, encoding="utf-8")
    with Project.open(tmp_path) as project:
        for name, rows in (("flights", flights(600)), ("planes", PLANES)):
            rows.write_parquet(tmp_path / f"{name}.parquet")
            project.datasets.add(name, [tmp_path / f"{name}.parquet"])
        yield project
        if "toy" in project.endpoints.list():
            project.endpoints.stop("toy")


def ask(url, row):
    body = json.dumps({"dataframe_records": [row]}).encode()
    asked = urllib.request.Request(f"{url}/invocations", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return json.loads(answer.read())["predictions"][0]


def skewed(project, tmp_path, file, change):
    """Store the champion with one file changed and its manifest made to fit; return the digest."""
    bundle = project.registry.resolve("models:/toy@champion").bundle
    folder = project.blobs.get_folder(bundle, tmp_path / "skewed")
    data = change((folder / file).read_bytes())
    (folder / file).chmod(0o600)
    (folder / file).write_bytes(data)
    manifest = json.loads((folder / "bundle.json").read_bytes())
    manifest["files"][file] = hashlib.sha256(data).hexdigest()
    (folder / "bundle.json").chmod(0o600)
    (folder / "bundle.json").write_bytes(json.dumps(manifest).encode())
    return folder, project.blobs.put_folder(folder)


def test_a_model_served_by_http_answers_raw_rows_as_training_did_and_a_skewed_one_is_stopped(project, tmp_path):
    outcome = project.pipeline.start(Display(project.workspace, None))
    assert outcome.exit_code == 0, outcome
    folder = project.blobs.get_folder(project.registry.resolve("models:/toy@champion").bundle, tmp_path / "bundle")
    bundle = project.bundles.open(folder)
    # rain was made by a query upstream, so the caller sends it; what derive makes is made by the model
    assert {each.name for each in bundle.manifest.inputs} == {"carrier", "rain", "sched", "scheduled", "tailnum"}

    log = project.runs.log(outcome.run, "train")
    assert "rain from step weather (sql)" in log
    assert "tailnum from step" not in log

    url = project.endpoints.deploy("models:/toy@champion", "toy").url
    golden = json.loads((folder / "golden.json").read_bytes())
    for row, expected in enumerate(golden["outputs"]["probability"]):
        answer = ask(url, {name: values[row] for name, values in golden["columns"].items()})
        assert answer == pytest.approx(expected, abs=1e-6)

    rows = project.values.load(outcome.outputs["weather"]["rows"]).head(40)
    trained = bundle.predict_table(rows)["probability"]
    for row, expected in zip(rows.iter_rows(named=True), trained.tolist(), strict=True):
        sent = {name: row[name] for name in ("carrier", "rain", "sched", "tailnum")}
        assert ask(url, sent | {"scheduled": row["scheduled"].isoformat()}) == pytest.approx(expected, abs=1e-6)

    # minutes taken out of the clock time in another way than in training
    altered, digest = skewed(
        project, tmp_path, "plan.json", lambda data: data.replace(b'"value":60.0', b'"value":100.0')
    )
    with pytest.raises(ServingSkew, match=r"golden row \d+: from 'minute' serving computes"):
        project.bundles.open(altered)
    project.registry.register("toy", digest)
    with pytest.raises(MlopsfwError, match="from 'minute' serving computes"):
        project.endpoints.deploy("models:/toy@2", "toy")
    assert ask(url, {name: values[0] for name, values in golden["columns"].items()}) == pytest.approx(
        golden["outputs"]["probability"][0], abs=1e-6
    )
    assert project.endpoints.status("toy").state == "ready"


def test_a_column_that_is_computed_upstream_and_derived_too_ends_the_run(project, tmp_path):
    text = TOML.replace("distance / 100 AS rain", "distance / 100 AS rain, sched / 100 AS minute")
    (tmp_path / "mlopsfw.toml").write_text(text, encoding="utf-8")
    with Project.open(tmp_path) as again:
        outcome = again.pipeline.start(Display(again.workspace, None))
    assert outcome.exit_code != 0
    assert "already have a column 'minute'" in str(outcome)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('lookup = { planes = "tailnum" }', "", "takes no such input"),
        (', planes = "data:/planes"', "", "'planes' of 'train' is missing"),
    ],
)
def test_tables_to_look_up_in_and_inputs_must_be_the_same(project, tmp_path, old, new, words):
    (tmp_path / "mlopsfw.toml").write_text(TOML.replace(old, new), encoding="utf-8")
    with Project.open(tmp_path) as again, pytest.raises(MlopsfwError, match=words):
        again.pipeline.start(Display(again.workspace, None))
