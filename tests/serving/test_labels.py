"""Labels: they arrive late, in any order, more than once, and by two doors; the one that arrived last holds."""

from __future__ import annotations

import gzip
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from mlopsfw.capturelog.records import Header, LabelRows, encode
from mlopsfw.capturelog.times import now_micros
from mlopsfw.capturelog.writer import CaptureWriter
from mlopsfw.cli import run
from mlopsfw.kernel.base.errors import DataError, UnknownName, UsageError
from mlopsfw.kernel.roles.bundle import Manifest
from mlopsfw.kernel.roles.reading import ReadOptions
from mlopsfw.models.bundle.manifest import outputs_for
from mlopsfw.project.facade import Project

HEADER = Header(endpoint="delay", revision=1, model="delay", version=1, bundle="b" * 64, inputs=(), outputs=())
LATE = {"prediction_id": "p1", "label": True, "label_time": "2013-04-02T12:00:00Z"}


def manifest(task: Any, classes: Sequence[Any]) -> Manifest:
    outputs = outputs_for(task, classes)
    return Manifest(task=task, target="late", inputs=(), outputs=outputs, classes=tuple(classes), formats={}, files={})


def register(project: Project, tmp_path: Path, task: str = "binary", classes: Sequence[Any] = (False, True)) -> None:
    folder = tmp_path / f"bundle-{task}"
    folder.mkdir()
    (folder / "bundle.json").write_bytes(msgspec.json.encode(manifest(task, classes)))
    project.registry.register("delay", project.blobs.put_folder(folder))


@pytest.fixture
def labelled(project: Project, tmp_path: Path) -> Project:
    register(project, tmp_path)
    return project


def labels(project: Project) -> dict[str, Any]:
    return dict(project.labels.scan("delay").select("prediction_id", "label").collect().iter_rows())


def test_a_label_is_scanned_with_its_times(labelled: Project) -> None:
    assert labelled.labels.add("delay", [LATE]) == 1
    (row,) = labelled.labels.scan("delay").collect().to_dicts()
    assert (row["prediction_id"], row["label"]) == ("p1", True)
    assert row["label_time"] == datetime(2013, 4, 2, 12, tzinfo=UTC)
    assert abs(row["received_time"] - datetime.now(UTC)).total_seconds() < 60


@pytest.mark.parametrize("label_time", ["2013-04-01T12:00:00Z", "2013-04-03T12:00:00Z"])
def test_the_label_that_arrived_last_holds_whatever_its_label_time(labelled: Project, label_time: str) -> None:
    labelled.labels.add("delay", [LATE])
    labelled.labels.add("delay", [{**LATE, "label": False, "label_time": label_time}])
    assert labels(labelled) == {"p1": False}


def test_of_two_labels_of_one_request_the_one_that_stands_last_holds(labelled: Project) -> None:
    labelled.labels.add("delay", [{**LATE, "label": n % 2 == 0} for n in range(1000)])
    assert labels(labelled) == {"p1": False}


def test_of_two_labels_of_one_moment_the_one_that_arrived_last_holds(labelled: Project) -> None:
    labelled.labels.add("delay", [LATE])
    labelled.labels.add("delay", [{**LATE, "label": False}])
    assert labels(labelled) == {"p1": False}


def test_labels_that_came_through_an_endpoint_are_there_too_and_hold_where_they_arrived_last(labelled: Project) -> None:
    labelled.labels.add("delay", [LATE, {**LATE, "prediction_id": "p3"}])
    writer = CaptureWriter(labelled.captures.folder("delay"), HEADER)
    for received, identities in ((1, ["p1", "p2"]), (now_micros(time.time()) + 1, ["p3"])):
        rows = LabelRows(
            ids=identities, labels=[False] * len(identities), label_times=[0] * len(identities), received_time=received
        )
        writer.write([(encode(rows), len(identities))])
    assert labels(labelled) == {"p1": True, "p2": False, "p3": False}
    writer.close()


def test_a_model_without_labels_scans_as_no_rows(labelled: Project) -> None:
    assert labelled.labels.scan("delay").collect().is_empty()


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"label": True}, "row 1: `prediction_id` is missing"),
        ({"prediction_id": "", "label": True}, "row 1: `prediction_id` is missing"),
        ({"prediction_id": 7, "label": True}, "row 1: `prediction_id` is missing"),
        ({"prediction_id": "i" * 257, "label": True}, "row 1: `prediction_id` must be printable and at most 256"),
        ({"prediction_id": "a\nb", "label": True}, "row 1: `prediction_id` must be printable"),
        ({"prediction_id": "a"}, "row 1: `label` is missing"),
        ({"prediction_id": "a", "label": None}, "row 1: `label` is missing"),
        ({"prediction_id": "a", "label": "late"}, "row 1: the label 'late' is not a class\n  Classes: False, True."),
        ({**LATE, "label_time": "2013-04-02"}, "row 1: '2013-04-02' is not a time with a zone"),
        ({**LATE, "label_time": datetime(2013, 4, 2)}, "row 1: the time 2013-04-02T00:00:00 has no zone"),  # noqa: DTZ001
        ({**LATE, "label_time": 7}, "row 1: `label_time` must be a time"),
    ],
)
def test_a_wrong_row_is_named_and_nothing_is_added(labelled: Project, row: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError) as raised:
        labelled.labels.add("delay", [LATE, row])
    assert says in str(raised.value)
    assert labels(labelled) == {}


def test_labels_of_an_unknown_model_are_refused(labelled: Project) -> None:
    with pytest.raises(UnknownName, match="dely"):
        labelled.labels.add("dely", [LATE])


@pytest.mark.parametrize(
    ("task", "given", "dtype"),
    [
        ("regression", [1, 2.5], pl.Float64),
        ("multiclass", ["true", 'quo"te'], pl.String),
        ("binary", [0, 1], pl.Int64),
        ("multiclass", [2**53, 2**53 + 1, -1], pl.Int64),
        ("binary", [0, 2**64 - 1], pl.UInt64),
        ("binary", ["0", "01"], pl.String),
        ("binary", [True, False], pl.Boolean),
    ],
)
def test_labels_come_back_as_what_they_are(
    project: Project, tmp_path: Path, task: str, given: list[Any], dtype: Any
) -> None:
    register(project, tmp_path, task, () if task == "regression" else given)
    project.labels.add("delay", [{"prediction_id": f"p{n}", "label": label} for n, label in enumerate(given)])
    scanned = project.labels.scan("delay").sort("prediction_id").collect()
    assert scanned["label"].dtype == dtype
    assert scanned["label"].to_list() == given


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_labels_are_read_from_files(labelled: Project, tmp_path: Path, suffix: str) -> None:
    rows = pl.DataFrame([LATE, {**LATE, "prediction_id": "p2", "label": False}])
    file = tmp_path / f"labels.{suffix}"
    {"csv": rows.write_csv, "parquet": rows.write_parquet, "jsonl": rows.write_ndjson}[suffix](file)
    assert labelled.label_files.add("delay", file) == 2
    assert labels(labelled) == {"p1": True, "p2": False}


def test_a_wrong_row_of_a_file_is_named_with_the_file(labelled: Project, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("prediction_id,label\np1,true\np2,\n")
    with pytest.raises(DataError, match=r"labels\.csv: row 1: `label` is missing; nothing was added"):
        labelled.label_files.add("delay", tmp_path / "labels.csv")
    assert labels(labelled) == {}


@pytest.mark.parametrize("moment", [-62_167_219_200_000_000, 253_402_300_800_000_000, 2**63 - 1])
def test_labels_with_a_time_that_no_calendar_has_are_shown_all_the_same(
    labelled: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], moment: int
) -> None:
    writer = CaptureWriter(labelled.captures.folder("delay"), HEADER)
    rows = LabelRows(ids=["p1"], labels=[True], label_times=[moment], received_time=1)  # as a server once took it
    writer.write([(encode(rows), 1)])
    writer.close()
    monkeypatch.chdir(labelled.root)
    for form in ([], ["--json"]):
        assert run(["labels", "show", "--model", "delay", *form]) == 0
        assert "p1" in capsys.readouterr().out


@pytest.mark.parametrize("day", [-719_529, 2_932_897, 10**7, -(10**7)])
@pytest.mark.parametrize("kind", [pl.Date, pl.Datetime("us", "UTC"), pl.Datetime("ms")])
def test_a_time_of_a_file_that_no_calendar_has_is_named_with_its_row(
    labelled: Project, tmp_path: Path, day: int, kind: Any
) -> None:
    days = pl.Series("label_time", [15_000, day], dtype=pl.Int32).cast(pl.Date).cast(kind)
    rows = pl.DataFrame({"prediction_id": ["a", "b"], "label": [True, False]}).with_columns(days)
    rows.write_parquet(tmp_path / "labels.parquet")
    with pytest.raises(DataError, match=r"labels\.parquet: row \d: "):
        labelled.label_files.add("delay", tmp_path / "labels.parquet")


@pytest.mark.parametrize("stamp", ["0001-01-01T00:00:00+23:59", "1800-01-01T00:00:00Z", "2150-01-01T00:00:00Z", "9999-12-31T00:00:00Z"])  # fmt: skip
def test_a_label_that_became_known_too_far_from_now_is_refused(labelled: Project, stamp: str) -> None:
    with pytest.raises(DataError, match="row 0: the time"):
        labelled.labels.add("delay", [{**LATE, "label_time": stamp}])
    assert labels(labelled) == {}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.xml", "x"),
        ("labels.parquet", "no parquet"),
        ("labels.jsonl", "{"),
        ("labels.jsonl", '{"prediction_id":' + "[" * 9_000 + "]" * 9_000 + "}"),
    ],
    ids=["suffix", "parquet", "cut", "deep"],
)
def test_a_file_that_cannot_be_read_is_named(labelled: Project, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=name):
        labelled.label_files.add("delay", tmp_path / name)


@pytest.mark.parametrize("name", ["labels.jsonl", "labels.ndjson", "labels.jsonl.gz"])
def test_json_lines_give_each_label_its_type_packed_or_not(labelled: Project, tmp_path: Path, name: str) -> None:
    text = b'{"prediction_id": "p1", "label": true}\n{"prediction_id": "p2", "label": false}\n'
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert labelled.label_files.add("delay", tmp_path / name) == 2
    assert labels(labelled) == {"p1": True, "p2": False}


@pytest.mark.parametrize("field", ["prediction_id", "label"])
def test_a_line_with_a_field_of_a_label_twice_is_an_error_with_its_line(
    labelled: Project, tmp_path: Path, field: str
) -> None:
    more = {"prediction_id": '"p2"', "label": "false"}[field]
    good = '{"prediction_id": "label", "label": true}\n'  # the name as a value is no second field
    (tmp_path / "l.jsonl").write_text(good + f'{{"prediction_id": "p1", "label": true, "{field}": {more}}}\n')
    with pytest.raises(DataError, match=rf"line 2 has the field '{field}' twice"):
        labelled.label_files.add("delay", tmp_path / "l.jsonl")
    assert labels(labelled) == {}


@pytest.mark.parametrize(
    "given", [{"separator": ";"}, {"encoding": "latin-1"}, {"null": ("x",)}, {"types": {"label": "string"}}]
)
def test_an_option_that_labels_in_json_lines_do_not_take_is_an_error(
    labelled: Project, tmp_path: Path, given: dict[str, Any]
) -> None:
    (tmp_path / "l.jsonl").write_text('{"prediction_id": "p1", "label": true}\n')
    with pytest.raises(UsageError, match=r"l\.jsonl|\.jsonl"):
        labelled.label_files.add("delay", tmp_path / "l.jsonl", ReadOptions(**given))


def test_the_ledger_holds_counts_of_labels_and_no_label(labelled: Project) -> None:
    labelled.labels.add("delay", [LATE])
    (event,) = labelled.ledger.stream("labels/delay").events()
    assert (event.type, event.body) == ("labels.added", {"rows": 1, "table_version": 0})


@pytest.mark.parametrize("identity", ["1001", "007", "17758512297797920768", "1e5"])
def test_an_id_of_digits_in_a_csv_is_the_id_that_stands_there(labelled: Project, tmp_path: Path, identity: str) -> None:
    (tmp_path / "labels.csv").write_text(f"prediction_id;label\n{identity};true\n")
    labelled.label_files.add("delay", tmp_path / "labels.csv", ReadOptions(separator=";"))
    assert labels(labelled) == {identity: True}


def test_a_label_of_digits_in_a_csv_is_the_class_of_that_text(project: Project, tmp_path: Path) -> None:
    register(project, tmp_path, "multiclass", ("007", "7", "NA"))
    (tmp_path / "labels.csv").write_text("prediction_id,label\np1,007\np2,7\np3,NA\n")
    project.label_files.add("delay", tmp_path / "labels.csv")
    assert labels(project) == {"p1": "007", "p2": "7", "p3": "NA"}
