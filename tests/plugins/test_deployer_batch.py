"""The deployer `batch`: files are scored at an endpoint as requests are answered, whole or not at all."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from bundles import ROWS, write_bundle

from mlopsfw.cli import run
from mlopsfw.kernel.base.errors import DataError, PluginError, ServingError, SignatureMismatch, UsageError
from mlopsfw.kernel.roles.deployer import BatchDeployer, Deployer, EndpointSpec, Route
from mlopsfw.models.bundle.calibrated import Calibration
from mlopsfw.models.conformal import Conformal
from mlopsfw.project.facade import Project
from mlopsfw.testing.deployer import DeployerConformance

TOML = '[deployer]\nuse = "http"\n[deployer.nightly]\nuse = "batch"\n'
ROW: dict[str, Any] = {"distance": 500.0, "hour": 7, "carrier": "00501", "red_eye": False}


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    return make_project(TOML)


class TestFileDeployer(DeployerConformance):
    """The contract, as far as a batch deployer has it."""

    @pytest.fixture
    def project(self, make_project: Callable[..., Project]) -> Project:
        return make_project(TOML)

    @pytest.fixture
    def deployer(self, project: Project) -> Deployer:
        return project.providers.deployer("nightly").deployer


@pytest.fixture
def delay(project: Project, tmp_path: Path) -> Project:
    """A project with the champion `delay`, served by the deployer `nightly`."""
    project.registry.register("delay", write_bundle(project, tmp_path / "1", 0.0))
    project.registry.promote("delay", 1)
    project.endpoints.deploy("delay", deployer="nightly")
    return project


def rows_of(count: int) -> pl.DataFrame:
    rows = pl.DataFrame(ROWS).select(*ROW).with_columns(pl.lit("00501").alias("zip"))
    return pl.concat([rows] * (count // rows.height + 1)).head(count)


def mlopsfw(project: Project, *words: object) -> int:
    return run(["--project", str(project.root), *map(str, words)])


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_a_file_is_scored_as_the_model_scores_it_and_each_row_is_captured(
    delay: Project, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out, offline = tmp_path / f"rows{suffix}", tmp_path / f"out{suffix}", tmp_path / "offline.parquet"
    rows = rows_of(20_000)
    {".parquet": rows.write_parquet, ".csv": rows.write_csv, ".jsonl": rows.write_ndjson}[suffix](file)
    assert mlopsfw(delay, "predict", "endpoints:/delay", file, "--out", out) == 0
    assert capsys.readouterr().out == f"20000 rows in {out}\n"
    assert mlopsfw(delay, "predict", "models:/delay@1", file, "--out", offline) == 0
    read = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".jsonl": pl.read_ndjson}[suffix]
    scored, wanted = read(out), pl.read_parquet(offline)
    assert scored.columns == [*rows.columns, "prediction_id", "probability", "prediction"]
    assert scored["prediction"].to_list() == wanted["prediction"].to_list()
    assert scored["prediction"].to_list() == [value >= 0.5 for value in scored["probability"]]
    assert scored["probability"].to_list() == pytest.approx(wanted["probability"].to_list(), abs=0)
    captured = delay.captures.scan("delay").collect()
    assert sorted(captured["prediction_id"]) == sorted(scored["prediction_id"])
    assert captured["prediction_id"].n_unique() == 20_000
    joined = scored.select("prediction_id", scored=pl.col("probability")).join(captured, on="prediction_id")
    assert joined["scored"].to_list() == pytest.approx(joined["probability"].to_list(), abs=0)
    assert set(captured["revision"]) == {1}
    assert "zip" not in captured.columns  # no input of the model


@pytest.fixture
def calibrated(delay: Project, tmp_path: Path) -> Project:
    """The same, whose model is calibrated with made-up scores."""
    bundle = delay.bundles.open(tmp_path / "1")
    scores = {"": tuple(number / 200 for number in range(100))}
    calibration = Calibration(conformal=Conformal(kind="lac", scores=scores))
    delay.bundles.recalibrate(tmp_path / "2", bundle, calibration, pl.DataFrame(ROWS))
    delay.registry.register("delay", delay.blobs.put_folder(tmp_path / "2"))
    delay.registry.promote("delay", 2)
    delay.endpoints.deploy("delay", deployer="nightly")
    return delay


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_sets_and_contributions_stand_beside_the_rows_as_without_an_endpoint_and_are_not_captured(
    calibrated: Project, tmp_path: Path, suffix: str
) -> None:
    file, out, offline = tmp_path / "rows.parquet", tmp_path / f"out{suffix}", tmp_path / f"offline{suffix}"
    rows_of(9_000).write_parquet(file)  # two requests
    for model, to in (("endpoints:/delay", out), ("models:/delay@2", offline)):
        assert mlopsfw(calibrated, "predict", model, file, "--out", to, "--alpha", 0.3, "--explain") == 0
    read = {".parquet": pl.read_parquet, ".csv": pl.read_csv}[suffix]
    scored, wanted = read(out), read(offline)
    assert sorted(scored.columns) == sorted([*wanted.columns, "prediction_id"])
    sets = [name for name in wanted.columns if name.startswith("probability.set")]
    assert scored.select(sets).equals(wanted.select(sets))
    shares = pl.sum_horizontal(pl.selectors.starts_with("contribution"))
    odds = (pl.col("probability") / (1 - pl.col("probability"))).log()
    assert scored.select((shares - odds).abs().max()).item() < 1e-4
    captured = calibrated.captures.scan("delay").collect()
    assert captured.height == 9_000
    assert not [name for name in captured.columns if "contribution" in name or ".set" in name]


def test_an_alpha_below_what_the_calibration_promises_leaves_nothing(
    calibrated: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows_of(10).write_parquet(tmp_path / "rows.parquet")
    words = (
        "predict",
        "endpoints:/delay",
        tmp_path / "rows.parquet",
        "--out",
        tmp_path / "o.parquet",
        "--alpha",
        1e-300,
    )
    assert mlopsfw(calibrated, *words) != 0
    assert "alpha 1e-300 is less than 100 calibration rows can promise" in capsys.readouterr().err
    assert not (tmp_path / "o.parquet").exists()
    assert calibrated.captures.scan("delay").collect().height == 0


def test_without_out_the_rows_go_to_the_terminal(
    delay: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW) + "\n")
    assert mlopsfw(delay, "predict", "endpoints:/delay", tmp_path / "rows.jsonl") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert set(json.loads(line)) == {*ROW, "prediction_id", "probability", "prediction"}


def test_a_column_event_time_says_when_each_event_happened(delay: Project, tmp_path: Path) -> None:
    rows = rows_of(2).with_columns(event_time=pl.Series(["2013-04-01T12:00:00Z", "2013-04-02T13:00:00+01:00"]))
    rows.write_csv(tmp_path / "rows.csv")
    assert mlopsfw(delay, "predict", "endpoints:/delay", tmp_path / "rows.csv", "--out", tmp_path / "o.csv") == 0
    times = delay.captures.scan("delay").collect()["event_time"].dt.to_string().sort().to_list()
    assert [time[:19] for time in times] == ["2013-04-01 12:00:00", "2013-04-02 12:00:00"]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_a_file_with_a_row_that_does_not_fit_leaves_the_output_as_it_was_and_nothing_captured(
    delay: Project, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rows_of(20_000).with_row_index("n").with_columns(hour=pl.when(pl.col("n") != 15_000).then("hour"))
    rows.write_parquet(tmp_path / "rows.parquet")
    out = tmp_path / f"out{suffix}"
    out.write_text("of yesterday")
    assert mlopsfw(delay, "predict", "endpoints:/delay", tmp_path / "rows.parquet", "--out", out) != 0
    error = capsys.readouterr().err
    assert "row 15000" in error
    assert out.read_text() == "of yesterday"
    assert sorted(path.name for path in tmp_path.iterdir() if ".part" in path.name) == []
    assert delay.captures.scan("delay").collect().height == 0


def test_a_disk_that_fills_while_the_output_is_written_leaves_nothing_captured(
    delay: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows_of(20_000).write_parquet(tmp_path / "rows.parquet")
    frames = delay.batch_scorer.score_file("delay", tmp_path / "rows.parquet")
    assert [next(frames).height for _ in range(2)] == [0, 8_192]
    frames.close()  # type: ignore[attr-defined]
    assert delay.captures.scan("delay").collect().height == 0
    assert [path.name for path in delay.private_folder("plugins", "deployer.nightly", "delay").glob("captured-*")] == []


KILLED = """
import sys
from pathlib import Path
from mlopsfw.project.facade import Project

with Project.open(Path(sys.argv[1])) as project:
    frames = project.batch_scorer.score_file("delay", Path(sys.argv[2]))
    next(frames), next(frames)
    print("scoring", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("verb", ["score", "deploy", "deploy another", "stop"])
def test_the_captures_of_a_scoring_that_was_killed_are_removed_and_those_of_one_that_goes_on_are_not(
    delay: Project, tmp_path: Path, verb: str
) -> None:
    rows_of(20_000).write_parquet(tmp_path / "rows.parquet")
    folder = delay.private_folder("plugins", "deployer.nightly", "delay")
    command = [sys.executable, "-c", KILLED, str(delay.root), str(tmp_path / "rows.parquet")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"scoring\n"
        process.kill()
    (abandoned,) = folder.glob("captured-*")
    goes_on = delay.batch_scorer.score_file("delay", tmp_path / "rows.parquet")
    if verb == "score":
        assert [next(goes_on).height for _ in range(2)] == [0, 8_192]
    else:
        shutil.copytree(abandoned, tmp_path / "abandoned")
        assert [next(goes_on).height for _ in range(2)] == [0, 8_192]
        shutil.copytree(tmp_path / "abandoned", abandoned, dirs_exist_ok=True)
        if verb == "deploy another":
            delay.registry.register("delay", write_bundle(delay, tmp_path / "2", 1.0))
        model = "models:/delay@2" if verb == "deploy another" else "delay"
        delay.endpoints.stop("delay") if verb == "stop" else delay.endpoints.deploy(model)
    (current,) = folder.glob("captured-*")
    assert current != abandoned
    assert sum(frame.height for frame in goes_on) == 20_000 - 8_192
    assert delay.captures.scan("delay").collect().height == 20_000
    assert list(folder.glob("captured-*")) == []


def test_a_file_that_lacks_a_column_is_refused_before_anything_is_scored(delay: Project, tmp_path: Path) -> None:
    rows_of(3).drop("hour").write_csv(tmp_path / "rows.csv")
    with pytest.raises(SignatureMismatch, match="the rows lack hour"):
        list(delay.batch_scorer.score_file("delay", tmp_path / "rows.csv"))


@pytest.mark.parametrize("taken", ["probability", "prediction_id"])
def test_a_column_called_as_what_is_added_is_not_overwritten(delay: Project, tmp_path: Path, taken: str) -> None:
    rows_of(3).with_columns(pl.lit("mine").alias(taken)).write_csv(tmp_path / "rows.csv")
    with pytest.raises(DataError, match=f"a column '{taken}'"):
        list(delay.batch_scorer.score_file("delay", tmp_path / "rows.csv"))
    if taken == "probability":
        with pytest.raises(DataError, match=f"a column '{taken}'"):
            delay.scorer.score_file("models:/delay@1", tmp_path / "rows.csv")


def test_a_file_without_rows_has_an_output_without_rows(delay: Project, tmp_path: Path) -> None:
    rows_of(3).clear().write_parquet(tmp_path / "rows.parquet")
    out = tmp_path / "out.parquet"
    assert mlopsfw(delay, "predict", "endpoints:/delay", tmp_path / "rows.parquet", "--out", out) == 0
    assert pl.read_parquet(out).schema["probability"] == pl.Float64


def test_an_endpoint_that_is_stopped_and_one_that_answers_requests_score_no_files(
    delay: Project, tmp_path: Path
) -> None:
    rows_of(3).write_csv(tmp_path / "rows.csv")
    delay.endpoints.stop("delay")
    with pytest.raises(ServingError, match="endpoint delay is stopped"):
        next(delay.batch_scorer.score_file("delay", tmp_path / "rows.csv"))
    with pytest.raises(UsageError, match="the deployer nightly cannot serve in the foreground"):
        delay.endpoints.serve("delay")


def test_personal_columns_are_treated_as_in_training_and_before_they_are_captured(
    make_project: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PII", "ab" * 32)
    project = make_project(f'{TOML}[privacy]\nkey = "env:PII"\n')
    deployer = project.providers.deployer("nightly").deployer
    assert isinstance(deployer, BatchDeployer)
    bundle = write_bundle(project, tmp_path / "1", 0.0)
    spec = EndpointSpec(
        endpoint="delay", model="delay", version=1, bundle=bundle, revision=1, pii={"carrier": "hash", "name": "drop"}
    )
    deployer.deploy(spec)
    request = {name: [value] for name, value in ROW.items()}
    (scores,) = deployer.score("delay", [{**request, "carrier": ["AdaLovelace"], "name": ["Ada"]}])
    (row,) = project.captures.scan("delay").collect().to_dicts()
    assert row["prediction_id"] == scores.ids[0]
    assert "name" not in row
    assert len(row["carrier"]) == 64
    for file in project.state.rglob("*"):
        assert not file.is_file() or b"AdaLovelace" not in file.read_bytes(), file


def test_routes_are_refused_and_what_was_served_goes_on(delay: Project) -> None:
    deployer = delay.providers.deployer("nightly").deployer
    bundle = delay.registry.resolve("models:/delay@1").bundle
    routes = (Route(version=1, bundle=bundle, weight=0.1),)
    spec = EndpointSpec(endpoint="delay", model="delay", version=2, bundle=bundle, revision=2, routes=routes)
    with pytest.raises(ServingError, match="routes name more"):
        deployer.deploy(spec)
    assert deployer.status("delay").revision == 1


ODD = """
import msgspec
from mlopsfw import Provider, hookimpl
from mlopsfw.roles import EndpointStatus, Scores

class C(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass

class Odd:
    mode = "batch"
    def status(self, endpoint):
        return EndpointStatus(endpoint=endpoint, state="ready", version=1, revision=1)
    def deploy(self, spec): return self.status(spec.endpoint)
    stop = status
    def score(self, endpoint, requests):
        SCORE

def answer(columns, **change):
    rows = len(columns["hour"])
    return Scores(**{"ids": [str(n) for n in range(rows)], "outputs": {"probability": [0.5] * rows}, **change})

@hookimpl
def mlopsfw_deployers():
    yield Provider("odd", C, lambda config, host: Odd(), "Odd")
"""


@pytest.mark.parametrize(
    ("score", "message"),
    [
        ("return [answer(columns) for columns in requests]", "returned a list, not an iterator"),
        ("return None", "returned a NoneType, not an iterator"),
        ("yield from (dict(x=1) for _ in requests)", "answered with a dict, not with Scores"),
        (
            "yield from (answer(columns) for columns in list(requests)[:1])",
            "left rows unanswered: those after row 8192",
        ),
        ("yield answer(next(iter(requests)))", "left rows unanswered: those after row 8192"),
        ("yield from (answer(c) for c in [*requests] + [dict(hour=[1])])", "answered more than it was asked"),
        ("yield from (answer(c, ids=['1']) for c in requests)", "8192 rows with 1 values of 'prediction_id'"),
        ("yield from (answer(c, outputs={'x': [1]}) for c in requests)", "answered with ['x'], not with the model's"),
        ("yield from (answer(c, outputs={'probability': []}) for c in requests)", "with 0 values of 'probability'"),
    ],
)
def test_a_deployer_that_answers_wrongly_is_named(
    make_project: Callable[..., Project],
    install_plugin: Callable[..., str],
    tmp_path: Path,
    score: str,
    message: str,
) -> None:
    install_plugin(ODD.replace("SCORE", score), "deployer.odd")
    project = make_project('[deployer]\nuse = "odd"\n')
    project.registry.register("delay", write_bundle(project, tmp_path / "1", 0.0))
    project.endpoints.deploy("models:/delay@1")
    rows_of(10_000).write_parquet(tmp_path / "rows.parquet")
    with pytest.raises(PluginError) as raised:
        list(project.batch_scorer.score_file("delay", tmp_path / "rows.parquet"))
    assert message in raised.value.message
    assert "the deployer odd" in raised.value.message
