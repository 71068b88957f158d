"""Captured predictions: what was acknowledged is found, once, with its times, whatever happened to its writer."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from mlopsfw.capturelog import appendlog
from mlopsfw.capturelog.appendlog import Segment
from mlopsfw.capturelog.records import FORMAT, Header, LabelRows, Predictions, decode_header, decode_record, encode
from mlopsfw.capturelog.times import micros
from mlopsfw.capturelog.writer import CaptureWriter
from mlopsfw.kernel.base.errors import DataError, NewerVersion, UnknownName
from mlopsfw.kernel.roles.bundle import SignatureColumn
from mlopsfw.project.facade import Project
from mlopsfw.serving.captures import compact
from mlopsfw.serving.captures.frames import predictions_frame

INPUTS = (
    SignatureColumn(name="distance", type="number", nullable=True),
    SignatureColumn(name="carrier", type="string"),
)
NOON = micros("2013-04-01T12:00:00Z")


def header(version: int = 1, inputs: tuple[SignatureColumn, ...] = INPUTS, **more: Any) -> Header:
    fields = {
        "endpoint": "delay",
        "revision": version,
        "model": "delay",
        "bundle": "b" * 64,
        "outputs": ("probability",),
    }
    return Header(version=version, inputs=inputs, **{**fields, **more})


def prediction(*ids: str, event: int = NOON, **inputs: Any) -> Predictions:
    columns = {"distance": 500.0, "carrier": "UA", **inputs}
    return Predictions(
        ids=list(ids), event_times=[event] * len(ids), processed_time=NOON + 1,
        inputs={name: [value] * len(ids) for name, value in columns.items()}, outputs={"probability": [0.25] * len(ids)},
    )  # fmt: skip


def capture(project: Project, *records: Predictions | LabelRows, first: Header | None = None) -> None:
    writer = CaptureWriter(project.captures.folder("delay"), first or header())
    writer.write([(encode(record), len(record.ids)) for record in records])
    writer.close()


def ids(project: Project) -> list[str]:
    return project.captures.scan("delay").collect()["prediction_id"].sort().to_list()


# -- the append-log ------------------------------------------------------------------------------------------------------


def test_a_log_cut_at_any_byte_ends_at_its_last_whole_record(tmp_path: Path) -> None:
    segment = Segment(tmp_path, b"header")
    payloads = [b"a", b"bb" * 40, b"c"]
    segment.append(payloads)
    segment.close()
    whole = segment.path.read_bytes()
    ends = [0, *(end for end, _ in appendlog.read(segment.path))]
    for cut in range(len(whole) + 1):
        segment.path.write_bytes(whole[:cut])
        found = [payload for _, payload in appendlog.read(segment.path)]
        assert found == [b"header", *payloads][: sum(end <= cut for end in ends) - 1]


@pytest.mark.parametrize("tail", [b"\0" * 4096, b"\xff" * 64, b"\x05\0\0\0abcd12345"])
def test_noise_behind_the_last_record_is_no_record(tmp_path: Path, tail: bytes) -> None:
    segment = Segment(tmp_path, b"header")
    segment.close()
    with segment.path.open("ab") as file:
        file.write(tail)
    assert [payload for _, payload in appendlog.read(segment.path)] == [b"header"]


def test_a_reader_can_tell_whether_a_segments_writer_lives(tmp_path: Path) -> None:
    segment = Segment(tmp_path, b"header")
    assert appendlog.is_open(segment.path)
    segment.close()
    assert not appendlog.is_open(segment.path)


def test_log_files_are_private(tmp_path: Path) -> None:
    segment = Segment(tmp_path / "log", b"header")
    segment.close()
    assert segment.path.stat().st_mode & 0o777 == 0o600
    assert segment.path.parent.stat().st_mode & 0o777 == 0o700


# -- times ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stamp", "moment"),
    [
        ("2013-04-01T12:00:00Z", datetime(2013, 4, 1, 12, tzinfo=UTC)),
        ("2013-04-01T07:00:00-05:00", datetime(2013, 4, 1, 12, tzinfo=UTC)),
        ("2013-04-01T07:00:00.000000-0500", datetime(2013, 4, 1, 12, tzinfo=UTC)),  # as Polars writes CSV
        ("2013-04-01t12:00:00.000001z", datetime(2013, 4, 1, 12, 0, 0, 1, tzinfo=UTC)),
        ("1969-12-31T23:59:59Z", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_a_time_with_a_zone_is_one_moment(stamp: str, moment: datetime) -> None:
    assert micros(stamp) == round(moment.timestamp() * 1_000_000)


@pytest.mark.parametrize("stamp", ["2013-04-01T12:00:00", "2013-04-01", "yesterday", "", "12" * 500])
def test_a_time_without_a_zone_is_refused_rather_than_guessed(stamp: str) -> None:
    with pytest.raises(DataError, match="is not a time with a zone"):
        micros(stamp)


@pytest.mark.parametrize(
    ("stamp", "why"),
    [
        ("2013-13-01T00:00:00Z", "month must be in"),
        ("2013-02-30T00:00:00Z", "day is out of range"),
        ("2013-02-03T25:00:00Z", "hour"),
    ],
)
def test_a_day_or_hour_that_there_is_not_is_named(stamp: str, why: str) -> None:
    with pytest.raises(DataError, match=why):
        micros(stamp)


# -- compaction and scanning ---------------------------------------------------------------------------------------------


def test_what_was_captured_is_scanned_with_its_times_and_what_served_it(project: Project) -> None:
    capture(project, prediction("p1", "p2", distance=None))
    rows = project.captures.scan("delay").sort("prediction_id").collect()
    assert rows["prediction_id"].to_list() == ["p1", "p2"]
    assert rows.row(0, named=True) == {
        "prediction_id": "p1",
        "event_time": datetime(2013, 4, 1, 12, tzinfo=UTC),
        "processed_time": datetime(2013, 4, 1, 12, 0, 0, 1, tzinfo=UTC),
        "model": "delay", "version": 1, "bundle": "b" * 64, "revision": 1,
        "client_request_id": None, "client_request_row": None,
        "distance": None, "carrier": "UA", "probability": 0.25,
    }  # fmt: skip


def test_what_a_living_server_wrote_is_scanned_at_once_and_only_once(project: Project) -> None:
    writer = CaptureWriter(project.captures.folder("delay"), header())
    for number in range(3):
        writer.write([(encode(prediction(f"p{number}")), 1)])
        assert ids(project) == [f"p{n}" for n in range(number + 1)]
    writer.close()
    assert ids(project) == ["p0", "p1", "p2"]
    assert appendlog.segments(project.captures.folder("delay")) == []


def test_a_crash_after_the_table_has_the_rows_and_before_that_is_noted_repeats_none(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture(project, prediction("p1"), prediction("p2"))

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mlopsfw.serving.captures.compact._note", crash)
        with pytest.raises(KeyboardInterrupt):
            project.captures.compact("delay")
    assert ids(project) == ["p1", "p2"]


@pytest.mark.parametrize("crash_at", [0, 1, 2])
def test_a_crash_repeats_no_row_although_all_clients_chose_one_id(
    project: Project, monkeypatch: pytest.MonkeyPatch, crash_at: int
) -> None:
    monkeypatch.setattr("mlopsfw.serving.captures.compact._BATCH", 4)
    capture(project, *(prediction("same", "same-0") for _ in range(5)))
    note, calls = compact._note, itertools.count()

    def crash(path: Path, end: int) -> None:
        if next(calls) == crash_at:
            raise KeyboardInterrupt
        note(path, end)

    with monkeypatch.context() as patch:
        patch.setattr("mlopsfw.serving.captures.compact._note", crash)
        with pytest.raises(KeyboardInterrupt):
            project.captures.compact("delay")
    assert ids(project) == ["same"] * 5 + ["same-0"] * 5


def test_what_an_older_version_captured_is_read_each_row_once(project: Project) -> None:
    """Layout 1 has no place in the log and no request id; its table is the one that an older version left behind."""
    old = [prediction("1", event=NOON + n) for n in range(3)]
    frame = predictions_frame(header(), "s", [(0, record) for record in old])
    gone = ["log_segment", "log_offset", "client_request_id", "client_request_row"]
    project.tables.append("captures/delay", frame.drop(gone))
    project.tables.append("captures/delay", frame.drop(gone).head(1))  # a crash repeated it
    writer = CaptureWriter(project.captures.folder("delay"), header(format=1))
    layout_1 = msgspec.msgpack.decode(encode(prediction("2")))[:-1]
    writer.write([(msgspec.msgpack.encode(layout_1), 1)])
    writer.close()
    assert ids(project) == ["1", "1", "1", "2"]
    assert project.captures.find("delay", "2")["client_request_id"] is None


def test_a_prediction_is_found_by_its_id_or_by_a_name_that_is_its_alone(project: Project) -> None:
    named = [msgspec.structs.replace(prediction(f"s{n}"), request_id=name) for n, name in enumerate("xyyss")]
    batch = msgspec.structs.replace(prediction("b-0", "b-1"), request_id="x")
    capture(project, *named, batch)
    assert project.captures.find("delay", "s0")["client_request_id"] == "x"
    assert project.captures.find("delay", "x")["prediction_id"] == "s0"
    assert project.captures.find("delay", "x-1")["prediction_id"] == "b-1"
    with pytest.raises(UnknownName, match="captured 2 predictions that clients called 'y'"):
        project.captures.find("delay", "y")


def test_a_window_takes_its_first_moment_and_leaves_its_last(project: Project) -> None:
    hours = [micros(f"2013-04-01T{hour:02}:00:00Z") for hour in range(4)]
    capture(project, *(prediction(f"p{n}", event=hour) for n, hour in enumerate(hours)))
    window = (
        project.captures.scan("delay", "2013-04-01T01:00:00Z", "2013-04-01T05:00:00+02:00").sort("event_time").collect()
    )
    assert window["prediction_id"].to_list() == ["p1", "p2"]


def test_an_endpoint_without_predictions_scans_as_no_rows(project: Project) -> None:
    assert project.captures.scan("delay").collect().is_empty()


def test_an_input_called_like_one_of_ours_hides_nothing(project: Project) -> None:
    inputs = (SignatureColumn(name="model", type="string"), SignatureColumn(name="distance", type="number"))
    capture(project, prediction("p1", model="737"), first=header(inputs=inputs))
    row = project.captures.scan("delay").collect().row(0, named=True)
    assert (row["model"], row["input_model"]) == ("delay", "737")


def test_dates_and_moments_are_stored_as_such(project: Project) -> None:
    inputs = (SignatureColumn(name="day", type="date"), SignatureColumn(name="left", type="datetime", nullable=True))
    capture(
        project, prediction("p1", day="2013-04-01", left="2013-04-01T07:00:00-05:00"), prediction("p2", day="2013-04-02", left=None),
        prediction("p3", day="2013-04-02", left="2013-04-01T12:00:00"), first=header(inputs=inputs),
    )  # fmt: skip
    rows = project.captures.scan("delay").sort("prediction_id").collect()
    assert rows["day"].to_list()[0] == date(2013, 4, 1)
    noon = datetime(2013, 4, 1, 12, tzinfo=UTC)
    assert rows["left"].to_list() == [noon, None, noon]


def test_a_new_version_may_take_more_columns_and_other_types(project: Project) -> None:
    capture(project, prediction("p1"))
    capture(project, prediction("p2", hour=7), first=header(2, (*INPUTS, SignatureColumn(name="hour", type="integer"))))
    capture(
        project,
        prediction("p3", carrier=4),
        first=header(3, (INPUTS[0], SignatureColumn(name="carrier", type="integer"))),
    )
    rows = project.captures.scan("delay").sort("prediction_id").collect()
    assert rows["version"].to_list() == [1, 2, 3]
    assert rows["hour"].to_list() == [None, 7, None]
    assert rows["carrier"].to_list() == ["UA", "UA", None]
    assert rows["carrier:int64"].to_list() == [None, None, 4]


def test_a_torn_end_is_set_aside_and_the_whole_records_are_kept(project: Project) -> None:
    capture(project, prediction("p1"), prediction("p2"))
    folder = project.captures.folder("delay")
    segment = appendlog.segments(folder)[0]
    segment.write_bytes(segment.read_bytes()[:-3])
    assert ids(project) == ["p1"]
    assert [path.suffix for path in folder.glob("*.torn")] == [".torn"]


def test_a_layout_of_a_newer_mlopsfw_is_refused_not_guessed_at(project: Project) -> None:
    capture(project, prediction("p1"), first=header(format=FORMAT + 1))
    with pytest.raises(NewerVersion, match=f"layout {FORMAT + 1}"):
        project.captures.compact("delay")
    assert appendlog.segments(project.captures.folder("delay"))  # nothing lost


def test_a_segment_that_grew_long_is_followed_by_another(project: Project) -> None:
    writer = CaptureWriter(project.captures.folder("delay"), header(), rotate=1)
    for number in range(3):
        writer.write([(encode(prediction(f"p{number}")), 1)])
    assert len(appendlog.segments(project.captures.folder("delay"))) == 4
    writer.close()
    assert ids(project) == ["p0", "p1", "p2"]


def test_a_segment_deleted_under_a_server_is_followed_by_another_within_a_second(project: Project) -> None:
    folder = project.captures.folder("delay")
    writer = CaptureWriter(folder, header())
    for segment in appendlog.segments(folder):
        segment.unlink()
    writer.sync()
    writer.write([(encode(prediction("p1")), 1)])
    writer.close()
    assert ids(project) == ["p1"]


# -- faults --------------------------------------------------------------------------------------------------------------


def _child(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    prelude = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from test_capture import *\n"
    return subprocess.Popen([sys.executable, "-c", prelude + code, *arguments], stdout=subprocess.PIPE)


@pytest.mark.faults
def test_without_room_answers_go_on_losses_are_counted_and_later_records_are_kept(tmp_path: Path) -> None:
    code = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = CaptureWriter(Path(sys.argv[1]), header())
room = resource.getrlimit(resource.RLIMIT_FSIZE)
def write(n): writer.write([(encode(prediction(f"p{n}")), 1)])
write(0)
resource.setrlimit(resource.RLIMIT_FSIZE, (writer._segment.size + 20, room[1]))
write(1); write(2)
resource.setrlimit(resource.RLIMIT_FSIZE, room)
write(3); writer.close()
print(writer.captured, writer.lost)
"""
    child = _child(code, str(tmp_path))
    assert child.communicate()[0].split() == [b"2", b"2"]
    records = [payload for _, payload in appendlog.read(appendlog.segments(tmp_path)[0])]
    assert [decode_record(payload).ids for payload in records[1:]] == [["p0"], ["p3"]]


@pytest.mark.faults
@pytest.mark.parametrize("attempt", range(10))
def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path, attempt: int) -> None:
    code = """
writer = CaptureWriter(Path(sys.argv[1]), header(), rotate=20_000)
for n in range(10**9):
    writer.write([(encode(prediction(f"p{n}")), 1)])
    sys.stdout.write(f"p{n}\\n"); sys.stdout.flush()
"""
    child = _child(code, str(tmp_path))
    assert child.stdout
    child.stdout.readline()
    time.sleep(0.02 * attempt)
    child.kill()
    acknowledged = [line for line in child.stdout.read().decode().split("\n")[:-1] if line]
    child.wait()
    child.stdout.close()
    kept = []
    for path in appendlog.segments(tmp_path):
        first, *rest = (payload for _, payload in appendlog.read(path))
        assert decode_header(first).endpoint == "delay"
        kept += [decode_record(payload).ids[0] for payload in rest]
    assert set(acknowledged) <= set(kept)
    assert kept == [f"p{n}" for n in range(len(kept))]


def test_the_writers_side_imports_nothing_heavy() -> None:
    code = "import sys, mlopsfw.capturelog.writer, mlopsfw.capturelog.times; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"polars", "pyarrow", "numpy", "deltalake", "pandas"} & set(loaded)


def test_many_rows_of_a_request_cost_one_record(project: Project) -> None:
    many = [f"p{n}" for n in range(50_000)]
    capture(project, prediction(*many))
    began = time.monotonic()
    assert project.captures.scan("delay").select(pl.len()).collect().item() == 50_000
    assert time.monotonic() - began < 10


def test_lists_tensors_and_bytes_are_rows_of_the_capture_table():
    inputs = (
        SignatureColumn(name="tokens", type="list", items="integer", nullable=True),
        SignatureColumn(name="image", type="tensor", dtype="float32", shape=(2, 1)),
        SignatureColumn(name="file", type="binary"),
    )
    first = Header(endpoint="e", revision=1, model="m", version=1, bundle="b", inputs=inputs, outputs=("y",))
    sent = {"tokens": [[1, 2], None], "image": [[[0.5], [1.0]], [[0.0], [2.0]]], "file": ["AP8=", ""]}
    record = Predictions(ids=["a", "b"], event_times=[0, 0], processed_time=0, inputs=sent, outputs={"y": [1.0, 2.0]})
    frame = predictions_frame(first, "s", [(1, record)])
    assert frame.select(*sent).to_dict(as_series=False) == sent
