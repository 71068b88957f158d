"""From an answered request to a window's metrics: every prediction counts, and each label reaches the one that it is about, as it was told."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np
import polars as pl
import pytest
from bundles import write_bundle
from serving import MANIFEST, ROW, SPEC, RuleBundle, RunningServer, ask, infer_body

from mlopsfw.cli import run
from mlopsfw.kernel.base.errors import DataError
from mlopsfw.models.bundle.manifest import outputs_for
from mlopsfw.project.facade import Project
from mlopsfw_core import Reference
from mlopsfw_deployer_http.message import Refusal
from mlopsfw_deployer_http.quota import Quota

pytestmark = pytest.mark.server

INFER = "/v2/models/delay/infer"
START, DAY = datetime(2026, 6, 1, tzinfo=UTC), timedelta(days=1)
EACH = 40  # predictions for each way in which labels come
TOML = '[[monitor]]\nuse = "drift"\n[monitor.drift]\nmin_rows = 30\n'
CLASSES: dict[str, tuple[Any, ...]] = {
    "0 and 1": (0, 1),
    "int8": (-128, 127),
    "beyond 2**53": (2**53, 2**53 + 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
    "booleans": (False, True),
    "texts like numbers": ("0", "1"),
    "codes": ("01", "1"),
    "texts like floats": ("1", "1.0"),
    "texts like booleans": ("false", "true"),
    "texts like dates": ("2026-01-01", "2026-01-02"),
    "texts": ("no", "yes"),
}


def served_by(project: Project, folder: Path, classes: Sequence[Any]) -> None:
    """Register the model that `serving.SPEC` names, with `classes`."""
    folder.mkdir()
    manifest = msgspec.structs.replace(MANIFEST, classes=tuple(classes))
    (folder / "bundle.json").write_bytes(msgspec.json.encode(manifest))
    profile = {"distance": Reference.fit(np.full(100, 500.0), name="distance").to_dict()}
    (folder / "profile.json").write_bytes(msgspec.json.encode(profile))
    for number in range(SPEC.version):
        (folder / "number").write_text(str(number))
        project.registry.register("delay", project.blobs.put_folder(folder), metrics={"auc": 0.5})


def predict(server: RunningServer, rows: int = 1, **more: Any) -> list[str]:
    more.setdefault("parameters", {"event_time": "2026-06-01T12:00:00Z"})
    status, answer, _ = server.ask("POST", INFER, infer_body(*[ROW] * rows, **more))
    assert status == 200, answer
    ids: list[str] = answer["parameters"]["prediction_ids"]
    return ids


def label(server: RunningServer, *pairs: tuple[str, Any]) -> tuple[int, Any]:
    rows = [{"prediction_id": identity, "label": value} for identity, value in pairs]
    return server.ask("POST", "/labels", {"labels": rows})[:2]


@pytest.fixture
def project(make_project: Callable[..., Project], tmp_path: Path) -> Project:
    made = make_project(TOML)
    served_by(made, tmp_path / "bundle", (0, 1))
    return made


@pytest.fixture
def server(project: Project) -> Iterator[RunningServer]:
    with RunningServer(project.captures.folder("delay"), bundle=RuleBundle((0, 1))) as running:
        yield running


def captured(project: Project) -> pl.DataFrame:
    return project.captures.scan("delay").collect()


def report(project: Project) -> Any:
    (examined,) = project.monitoring.examine("delay", START, START + DAY)
    return examined.report


def labelled(project: Project) -> dict[str, Any]:
    """Return what the one window says was true: prediction → label."""
    (window,) = project.windows.cut("delay", START, START + DAY)
    return {} if window.labels is None else {r["prediction_id"]: r["label"] for r in window.labels.to_pylist()}


# -- a label keeps its type ------------------------------------------------------------------------------------------------


def write(file: Path, rows: list[dict[str, Any]]) -> Path:
    if file.suffix == ".csv":
        pl.DataFrame([{**row, "label": _as_csv(row["label"])} for row in rows]).write_csv(file)
    elif file.suffix == ".jsonl":
        file.write_text("\n".join(map(json.dumps, rows)))
    else:
        values = [row["label"] for row in rows]
        dtype = pl.UInt64 if max(map(str, values)) == str(2**64 - 1) else None
        pl.DataFrame({"prediction_id": [r["prediction_id"] for r in rows]}).with_columns(
            pl.Series("label", values, dtype=dtype)
        ).write_parquet(file)
    return file


def _as_csv(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize("classes", CLASSES.values(), ids=CLASSES.keys())
def test_labels_of_every_type_reach_the_metrics_by_every_door(
    make_project: Callable[..., Project], tmp_path: Path, classes: tuple[Any, ...]
) -> None:
    project = make_project(TOML)
    served_by(project, tmp_path / "bundle", classes)
    truth: dict[str, Any] = {}
    with RunningServer(project.captures.folder("delay"), bundle=RuleBundle(classes)) as server:
        ids = [predict(server, EACH) for _ in range(5)]
        parts = [[(each, classes[n % 4 == 0]) for n, each in enumerate(part)] for part in ids]
        truth.update(pair for part in parts for pair in part)
        assert label(server, *parts[0]) == (200, {"accepted": EACH})
    rows = [[{"prediction_id": each, "label": value} for each, value in part] for part in parts]
    assert project.labels.add("delay", rows[1]) == EACH
    for part, suffix in zip(rows[2:], ("csv", "jsonl", "parquet"), strict=True):
        assert project.label_files.add("delay", write(tmp_path / f"labels.{suffix}", part)) == EACH
    found = labelled(project)
    assert found == truth
    assert {type(value) for value in found.values()} == {type(value) for value in classes}
    summary = report(project)
    assert (summary.labelled, summary.labels_aside) == (5 * EACH, {})
    assert summary.metrics["positive_rate"] == 0.25


WRONG = {
    "0 and 1": ((0, 1), ["0", "1", 2, 0.5, "true", "", "01", 2**64, 10**400]),
    "texts": (("0", "1"), [0, 1, True, "01", "0 ", 0.0]),
    "booleans": ((False, True), ["true", "0", 2, 0.5, -1]),
    "beyond 2**53": ((2**53, 2**53 + 1), [float(2**54), 2**53 + 2, str(2**53)]),
}


@pytest.mark.parametrize(("classes", "wrong"), WRONG.values(), ids=WRONG.keys())
def test_a_label_of_another_type_is_refused_at_every_door_and_the_classes_are_named(
    make_project: Callable[..., Project], tmp_path: Path, classes: tuple[Any, ...], wrong: list[Any]
) -> None:
    project = make_project(TOML)
    served_by(project, tmp_path / "bundle", classes)
    named = f"Classes: {', '.join(map(repr, classes))}."
    with RunningServer(project.captures.folder("delay"), bundle=RuleBundle(classes)) as server:
        (identity,) = predict(server)
        for value in wrong:
            status, answer = label(server, (identity, classes[0]), (identity, value))
            assert (status, answer["error"].startswith("row 1: the label"), named in answer["error"]) == (
                400, True, True
            ), (value, answer)  # fmt: skip
            lines = [{"prediction_id": identity, "label": each} for each in (classes[0], value)]
            (tmp_path / "l.jsonl").write_text("\n".join(map(json.dumps, lines)))
            for add in (
                lambda rows=lines: project.labels.add("delay", rows),
                lambda: project.label_files.add("delay", tmp_path / "l.jsonl"),
            ):
                with pytest.raises(DataError) as raised:
                    add()
                assert "row 1: the label" in raised.value.message
                assert raised.value.hint == named
    assert project.labels.scan("delay").collect().is_empty()


@pytest.mark.parametrize(
    ("classes", "text", "kept"),
    [
        ((0, 1), "1", 1), ((0, 1), " 1", 1), ((0, 1), "1.0", 1), ((0, 1), "true", 1), ((0, 1), "01", None), ((0, 1), "", None),
        ((0, 1), "one", None), ((0, 1), "1e999999999", None), ((2**53, 2**53 + 1), str(2**53 + 1), 2**53 + 1),
        ((False, True), "TRUE", True), ((False, True), "0", False), ((False, True), "yes", None),
        (("01", "1"), "01", "01"), (("01", "1"), "1", "1"), (("01", "1"), "1.0", None), (("true", "false"), "True", None),
    ],
)  # fmt: skip
def test_a_csv_files_label_is_read_as_the_models_classes_are(
    make_project: Callable[..., Project], tmp_path: Path, classes: tuple[Any, ...], text: str, kept: Any
) -> None:
    project = make_project(TOML)
    served_by(project, tmp_path / "bundle", classes)
    (tmp_path / "l.csv").write_text(f"prediction_id,label\n00501,{text}\n")
    if kept is None:
        with pytest.raises(DataError, match=r"row 0: (the label|`label` is missing)"):
            project.label_files.add("delay", tmp_path / "l.csv")
        return
    project.label_files.add("delay", tmp_path / "l.csv")
    (row,) = project.labels.scan("delay").collect().to_dicts()
    assert (row["prediction_id"], row["label"], type(row["label"])) == ("00501", kept, type(kept))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prediction_id;label\n1001;1\n", "there is only one column, and its name contains ';': 'prediction_id;label'"),
        ("prediction_id,truth\n1001,1\n", "there is no column 'label'; the columns are 'prediction_id', 'truth'"),
    ],
)
def test_a_file_that_lacks_a_column_of_labels_says_which_it_has(
    project: Project, tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(DataError, match=says):
        project.label_files.add("delay", tmp_path / "l.csv")


@pytest.mark.parametrize("value", [np.int64(1), np.uint8(1), np.float32(1), np.bool_(True), 1.0, True])
def test_pythons_and_numpys_numbers_are_the_class_that_they_equal(project: Project, value: Any) -> None:
    project.labels.add("delay", [{"prediction_id": "a", "label": value}])
    assert project.labels.scan("delay").collect()["label"].to_list() == [1]


@pytest.mark.parametrize(
    "kind", [pl.Date, pl.Datetime("us"), pl.Decimal(10, 2), pl.Categorical, pl.Enum(["2026-01-01", "2.50"])]
)
def test_classes_that_are_dates_decimals_or_categories_in_the_data_are_so_in_files_and_python(
    make_project: Callable[..., Project], tmp_path: Path, kind: Any
) -> None:
    """A trainer keeps such a target's classes as their text."""
    text = "2.50" if kind == pl.Decimal(10, 2) else "2026-01-01"
    values = pl.Series("label", [text]).str.to_decimal(scale=2) if text == "2.50" else pl.Series("label", [text])
    values = values.str.to_date().cast(kind) if kind in (pl.Date, pl.Datetime("us")) else values.cast(kind)
    project = make_project(TOML)
    served_by(project, tmp_path / "bundle", (values.cast(pl.String)[0], "another"))
    rows = pl.DataFrame([pl.Series("prediction_id", ["a"]), values])
    rows.write_parquet(tmp_path / "l.parquet")
    assert project.label_files.add("delay", tmp_path / "l.parquet") == 1
    assert project.labels.add("delay", rows.with_columns(prediction_id=pl.lit("b")).to_dicts()) == 1
    assert project.labels.scan("delay").collect()["label"].to_list() == [values.cast(pl.String)[0]] * 2


@pytest.mark.parametrize(
    ("text", "kept"),
    [("7", 7.0), ("007", 7.0), (" +7.5 ", 7.5), ("-0.5", -0.5), (".5", 0.5), ("1e3", 1000.0), ("-007", -7.0), ("0", 0.0),
     ("nan", None), ("inf", None), ("1e400", None), ("true", None), ("seven", None), ("1_000", None), ("7,5", None)],
)  # fmt: skip
def test_a_regressions_label_is_a_finite_number_by_every_door(
    make_project: Callable[..., Project], tmp_path: Path, text: str, kept: float | None
) -> None:
    project, folder = make_project(TOML), tmp_path / "bundle"
    folder.mkdir()
    manifest = msgspec.structs.replace(MANIFEST, task="regression", outputs=outputs_for("regression", ()), classes=())
    (folder / "bundle.json").write_bytes(msgspec.json.encode(manifest))
    project.registry.register("delay", project.blobs.put_folder(folder))
    (tmp_path / "l.csv").write_text(f'prediction_id,label\na,"{text}"\n')
    if kept is None:
        with pytest.raises(DataError, match=r"row 0: the label .* is not a finite number"):
            project.label_files.add("delay", tmp_path / "l.csv")
    else:
        project.label_files.add("delay", tmp_path / "l.csv")
        assert project.labels.scan("delay").collect()["label"].to_list() == [kept]
    for wrong in (text, True, float("nan"), 10**400):
        with pytest.raises(DataError, match=r"row 0: the label .* is not a finite number"):
            project.labels.add("delay", [{"prediction_id": "a", "label": wrong}])


STORED = ["2", '"1"', "0.5", '"maybe"', "null", "", "{", "[1]", None, '"abc', "nan"]


def test_a_bad_label_that_is_stored_sets_its_row_aside_is_counted_and_ends_no_window(
    project: Project, server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = predict(server, 60)
    label(server, *((each, n % 2) for n, each in enumerate(ids[:40])))
    bad = pl.DataFrame({"prediction_id": ids[40 : 40 + len(STORED)], "label": STORED}).with_columns(
        label_time=pl.lit(START), received_time=pl.lit(START + DAY * 400)
    )
    project.tables.append("labels/delay", bad)
    summary = report(project)
    assert (summary.rows, summary.labelled) == (60, 40)
    assert summary.labels_aside == {"no class of the model": len(STORED)}
    assert {column["column"] for column in summary.columns} == {"distance"}
    assert "auc" in summary.metrics
    (again,) = project.monitoring.replay("delay", DAY, start=START, end=START + DAY)
    assert again.report.labels_aside == summary.labels_aside
    arguments = [
        "--project",
        str(project.root),
        "monitor",
        "run",
        "delay",
        "--from",
        "2026-06-01",
        "--to",
        "2026-06-02",
    ]
    assert run(arguments) == 0
    assert f"{len(STORED)} labels were left out: no class of the model" in capsys.readouterr().out
    assert run(["--project", str(project.root), "labels", "show", "--model", "delay", "--limit", "99"]) == 0
    assert "maybe" in capsys.readouterr().out


def test_a_label_told_to_another_version_is_this_versions_class_where_it_equals_one(
    project: Project, server: RunningServer
) -> None:
    """Versions 1 to 3 have the classes 0 and 1; the label came while a version with booleans, or with texts, was served."""
    ids = predict(server, 40)
    rows = [(each, "true" if n < 30 else '"1"') for n, each in enumerate(ids)]
    stored = pl.DataFrame(rows, schema=["prediction_id", "label"], orient="row").with_columns(
        label_time=pl.lit(START), received_time=pl.lit(START + DAY * 400)
    )
    project.tables.append("labels/delay", stored)
    assert labelled(project) == dict.fromkeys(ids[:30], 1)
    assert report(project).labels_aside == {"no class of the model": 10}


# -- a prediction has an id of its own -------------------------------------------------------------------------------------


def test_requests_with_one_id_are_as_many_predictions(project: Project, server: RunningServer) -> None:
    ids = [predict(server, id="1")[0] for _ in range(150)]
    for _ in range(150):
        _, answer, _ = server.ask("POST", "/invocations", {"dataframe_records": [ROW], "params": {"id": "1"}})
        ids += answer["prediction_ids"]
    assert len(set(ids)) == len(ids) == 300
    found = captured(project)
    assert sorted(found["prediction_id"]) == sorted(ids)
    assert set(found["client_request_id"]) == {"1"}


def test_ids_cannot_be_guessed_from_others(server: RunningServer) -> None:
    ids = [predict(server)[0] for _ in range(50)]
    assert all(len(each) == 32 and int(each, 16) >= 0 for each in ids)
    assert all(sum(a == b for a, b in zip(one, two, strict=True)) < 16 for one, two in itertools.pairwise(ids))


def test_a_request_of_two_rows_does_not_collide_with_an_id_that_looks_like_its_row(
    project: Project, server: RunningServer
) -> None:
    rows, (single,) = predict(server, 2, id="X"), predict(server, id="X-0")
    assert captured(project).height == 3
    label(server, ("X-0", 1), ("X-1", 1))
    assert labelled(project) == {rows[1]: 1}
    assert report(project).labels_aside == {"ambiguous id": 2}  # both rows that X-0 may mean
    label(server, (rows[0], 0), (single, 1))
    assert labelled(project) == {rows[0]: 0, rows[1]: 1, single: 1}
    assert report(project).labels_aside == {}


def test_a_client_who_uses_anothers_id_first_hides_nothing_and_takes_no_label(
    project: Project, server: RunningServer
) -> None:
    (first,), (second,) = predict(server, id="order-77"), predict(server, id="order-77")
    assert set(captured(project)["prediction_id"]) == {first, second}
    label(server, ("order-77", 1))
    assert labelled(project) == {}
    label(server, (second, 0))
    assert labelled(project) == {second: 0}


def test_a_clients_own_id_names_the_one_prediction_that_had_it_when_the_label_came(
    project: Project, server: RunningServer
) -> None:
    (mine,), day = predict(server, id="order-77"), predict(server, 3, id="day")
    label(server, ("order-77", 1), ("day-2", 0))
    (theirs,) = predict(server, id="order-77")
    (squatter,) = predict(server, id=day[0])  # its own id is the id of another's prediction
    label(server, (day[0], 1))
    assert labelled(project) == {mine: 1, day[2]: 0, day[0]: 1}
    assert {theirs, squatter} <= set(captured(project)["prediction_id"])


def test_a_label_by_a_clients_own_id_at_another_endpoint_names_nothing_here(
    project: Project, server: RunningServer
) -> None:
    from mlopsfw.capturelog.records import Header, LabelRows, encode
    from mlopsfw.capturelog.times import now_micros
    from mlopsfw.capturelog.writer import CaptureWriter

    (mine,) = predict(server, id="order-77")
    header = Header(endpoint="other", revision=1, model="delay", version=3, bundle="b", inputs=(), outputs=())
    writer = CaptureWriter(project.captures.folder("other"), header)
    moment = now_micros(datetime.now(UTC).timestamp()) + 1
    writer.write([(encode(LabelRows(ids=["order-77"], labels=[1], label_times=[0], received_time=moment)), 1)])
    writer.close()
    assert labelled(project) == {}
    project.labels.add("delay", [{"prediction_id": "order-77", "label": 0}])
    assert labelled(project) == {mine: 0}


def test_a_label_from_a_file_names_one_prediction_of_all_endpoints(project: Project, server: RunningServer) -> None:
    from mlopsfw.capturelog.records import Predictions, encode
    from mlopsfw.capturelog.writer import CaptureWriter

    predict(server, id="order-77")
    header = msgspec.structs.replace(server.service._scorer.header, endpoint="other")
    writer = CaptureWriter(project.captures.folder("other"), header)
    inputs, outputs = {name: [value] for name, value in ROW.items()}, {"probability": [0.5]}
    twin = Predictions(
        ids=["f" * 32], event_times=[0], processed_time=0, inputs=inputs, outputs=outputs, request_id="order-77"
    )
    writer.write([(encode(twin), 1)])
    writer.close()
    project.labels.add("delay", [{"prediction_id": "order-77", "label": 0}])
    assert labelled(project) == {}
    assert report(project).labels_aside == {"ambiguous id": 1}


def test_what_older_versions_captured_is_labelled_where_its_id_was_used_once(project: Project) -> None:
    moments = [START + timedelta(hours=n) for n in range(3)]
    old = pl.DataFrame(
        {
            "prediction_id": ["a", "a", "b"], "event_time": moments, "processed_time": moments, "model": "delay", "version": 3,
            "bundle": "b" * 64, "revision": 1, "distance": 1.0, "probability": 0.5,
        }, schema_overrides={"event_time": pl.Datetime("us", "UTC"), "processed_time": pl.Datetime("us", "UTC")},
    )  # fmt: skip
    project.tables.append("captures/delay", old)
    project.labels.add("delay", [{"prediction_id": each, "label": 1} for each in "ab"])
    assert captured(project).height == 3
    assert labelled(project) == {"b": 1}
    assert report(project).labels_aside == {"ambiguous id": 2}


def test_an_answer_says_which_ids_count(server: RunningServer) -> None:
    _, answer, _ = server.ask("POST", INFER, infer_body(ROW, ROW, id="day"))
    assert answer["id"] == "day"
    assert all("day" not in each for each in answer["parameters"]["prediction_ids"])
    _, answer, _ = server.ask("POST", INFER, infer_body(ROW))
    assert answer["parameters"]["prediction_ids"] == [answer["id"]]


# -- who may label, and how much -------------------------------------------------------------------------------------------

TOKEN, LABEL_TOKEN = "a token to ask with", "another token to label with"
SENT = {"labels": [{"prediction_id": "a", "label": True}]}


@pytest.mark.parametrize(
    ("token", "label_token", "opens"),
    [("", "", ["", TOKEN, LABEL_TOKEN]), (TOKEN, "", [TOKEN]), (TOKEN, LABEL_TOKEN, [LABEL_TOKEN]), ("", LABEL_TOKEN, [LABEL_TOKEN])],
)  # fmt: skip
def test_labels_ask_for_their_own_token_where_one_is_set_and_for_the_common_one_otherwise(
    tmp_path: Path, token: str, label_token: str, opens: list[str]
) -> None:
    with RunningServer(tmp_path, token=token, label_token=label_token) as server:
        for sent in ("", TOKEN, LABEL_TOKEN):
            headers = {"Authorization": f"Bearer {sent}"} if sent else {}
            assert server.ask("POST", "/labels", SENT, **headers)[0] == (200 if sent in opens else 401)
            asks = not token or sent == token
            assert server.ask("POST", INFER, infer_body(ROW), **headers)[0] == (200 if asks else 401)
            assert server.ask("GET", "/metrics", **headers)[0] == (200 if asks else 401)


def labels_of(rows: int) -> dict[str, Any]:
    return {"labels": [{"prediction_id": f"p{n}", "label": True} for n in range(rows)]}


def test_a_flood_of_labels_is_told_to_come_back_and_predictions_go_on(tmp_path: Path) -> None:
    with RunningServer(tmp_path, quota=Quota(1_000, 500.0)) as server:
        began, taken, waits = time.monotonic(), 0, []
        while time.monotonic() < began + 1.0:
            status, _, headers = server.ask("POST", "/labels", labels_of(400))
            taken += 400 * (status == 200)
            waits += [int(headers["retry-after"])] if status == 429 else []
            assert status in (200, 429)
        assert taken <= 1_000 + 500 * (time.monotonic() - began)
        assert waits
        assert set(waits) <= {1, 2}
        assert server.ask("POST", INFER, infer_body(ROW))[0] == 200
        time.sleep(max(waits))
        assert server.ask("POST", "/labels", labels_of(400))[0] == 200
        text = server.ask("GET", "/metrics")[1].decode()
    assert f'mlopsfw_labels_total{{endpoint="delay"}} {taken + 400}' in text


def test_a_request_with_too_many_labels_is_refused_whole(tmp_path: Path) -> None:
    with RunningServer(tmp_path, quota=Quota(100, 2_000.0)) as server:
        status, answer, _ = server.ask("POST", "/labels", labels_of(101))
        assert (status, answer["error"]) == (413, "the request holds 101 labels; send at most 100 at a time")
        assert server.ask("POST", "/labels", labels_of(100))[0] == 200


def test_each_client_has_a_quota_of_its_own_and_all_together_have_one() -> None:
    now = [0.0]
    quota = Quota(100, 10.0, lambda: now[0])

    def refused(client: str, labels: int = 100) -> str:
        try:
            quota.take(client, labels)
        except Refusal as refusal:
            return refusal.headers.decode().strip()
        return ""

    assert [refused("10.0.0.1"), refused("10.0.0.1", 25)] == ["", "retry-after: 3"]
    assert [refused("2001:db8::1"), refused("2001:db8::2", 1), refused("2001:db8:0:1::1")] == ["", "retry-after: 1", ""]
    assert [refused("::ffff:10.0.0.1", 1), refused("not an address")] == ["retry-after: 1", ""]
    assert [refused(f"10.0.1.{n}") for n in range(5)] == ["", "", "", "", "retry-after: 2"]
    now[0] = 2.5
    assert refused("10.0.0.1", 25) == ""
    for n in range(10_000):
        refused(f"client {n}", 1)
    assert len(quota._used) <= 4096


def test_without_a_rate_only_a_requests_size_is_bounded() -> None:
    quota = Quota(100, 0.0)
    for _ in range(100):
        quota.take("a", 100)
    with pytest.raises(Refusal, match="at most 100"):
        quota.take("a", 101)


def test_a_deployed_endpoint_holds_what_its_configuration_says_of_labels(
    make_project: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASK", "ask-ask-ask-ask-ask-1")
    monkeypatch.setenv("LABEL", "label-label-label-1")
    options = 'token = "env:ASK"\nlabel_token = "env:LABEL"\nlabels_per_request = 10\nlabels_per_second = 1.0\n'
    made = make_project(f"[deployer.http]\ncompact_seconds = 0\n{options}")
    made.registry.register("delay", write_bundle(made, tmp_path / "1", 0.0))
    port = urlsplit(made.endpoints.deploy("models:/delay@1").url).port
    assert port
    try:
        mine = {"Authorization": "Bearer label-label-label-1"}
        assert ask(port, "POST", "/labels", labels_of(1), Authorization="Bearer ask-ask-ask-ask-ask-1")[0] == 401
        assert ask(port, "POST", "/labels", labels_of(11), **mine)[0] == 413
        assert [ask(port, "POST", "/labels", labels_of(9), **mine)[0] for _ in range(2)] == [200, 429]
    finally:
        made.providers.deployer().deployer.stop("delay")
    stored = (made.private_folder("plugins", "deployer.http", "delay") / "wanted.json").read_text()
    assert "label-label" not in stored


def test_labels_of_ids_that_were_never_served_join_nothing_and_are_counted(
    project: Project, server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    ids, named = predict(server, 40), predict(server, id="order-77")
    label(server, *((each, 1) for each in ids), ("order-77", 0), *((f"never-{n}", 1) for n in range(7)))
    assert labelled(project) == {**dict.fromkeys(ids, 1), named[0]: 0}
    assert report(project).labelled == 41
    assert project.labels.unknown("delay") == 7
    assert run(["--project", str(project.root), "labels", "show", "--model", "delay"]) == 0
    assert "7 labelled ids name no captured prediction" in capsys.readouterr().out


def test_a_wrong_label_is_corrected_by_the_next_one_that_arrives(project: Project, server: RunningServer) -> None:
    (identity,) = predict(server)
    far = (datetime.now(UTC) + timedelta(hours=20)).isoformat()
    for value, stamp in ((0, far), (1, "2013-04-01T12:00:00Z")):
        row = {"prediction_id": identity, "label": value, "label_time": stamp}
        assert server.ask("POST", "/labels", {"labels": [row]})[0] == 200
    assert labelled(project) == {identity: 1}
