"""What the server answers: both protocols, ids, times, labels, metrics, and a 4xx that names the place for whatever is wrong."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import ROW, SPEC, RunningServer, infer_body, rule

from mlopsfw.capturelog import appendlog
from mlopsfw.capturelog.records import LabelRows, Predictions, Record, decode_record
from mlopsfw.capturelog.times import micros
from mlopsfw_deployer_http.service import _lacks_memory

pytestmark = pytest.mark.server

INFER = "/v2/models/delay/infer"


class Silent(Exception):
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "lacks"),
    [
        (MemoryError(), True),
        (RuntimeError("std::bad_alloc"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (ValueError(12), False),
        (Silent(), False),
    ],
)
def test_an_error_of_a_model_is_one_of_memory_or_not_whatever_its_text_does(error, lacks):
    assert _lacks_memory(error) is lacks


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("captures")) as running:
        yield running


def records(folder: Path) -> list[Record]:
    return [decode_record(p) for path in appendlog.segments(folder) for _, p in list(appendlog.read(path))[1:]]


def infer(server: RunningServer, *rows: dict[str, Any], **more: Any) -> Any:
    status, body, _ = server.ask("POST", INFER, infer_body(*rows, **more))
    assert status == 200, body
    return body


def refusal(server: RunningServer, body: Any, path: str = INFER, **headers: str) -> tuple[int, str]:
    status, answer, _ = server.ask("POST", path, body, **headers)
    assert set(answer) == {"error"}
    return status, answer["error"]


# -- the Open Inference Protocol -------------------------------------------------------------------------------------------


def test_a_row_is_answered_with_its_id_and_the_one_model_that_answered(server: RunningServer) -> None:
    status, body, headers = server.ask("POST", INFER, infer_body(ROW, id="flight-7"))
    assert status == 200
    assert body["outputs"] == [
        {"name": "probability", "datatype": "FP64", "shape": [1], "data": [pytest.approx(rule(*ROW.values()))]}
    ]
    assert (body["model_name"], body["model_version"], body["id"]) == ("delay", "3", "flight-7")
    (identity,) = body["parameters"].pop("prediction_ids")
    assert (body["parameters"], "flight" in identity) == ({"bundle": SPEC.bundle}, False)
    assert (headers["mlopsfw-model"], headers["mlopsfw-bundle"]) == ("delay@3", SPEC.bundle)


def test_rows_are_answered_in_order_under_ids_of_their_own(server: RunningServer) -> None:
    rows = [{**ROW, "hour": hour} for hour in range(24)]
    body = infer(server, *rows, id="day")
    assert body["outputs"][0]["data"] == pytest.approx([rule(*row.values()) for row in rows])
    base = body["parameters"]["prediction_ids"][0].partition("-")[0]
    assert body["parameters"]["prediction_ids"] == [f"{base}-{n}" for n in range(24)]
    assert base != "day"


def test_an_id_is_allocated_where_none_is_sent_and_never_twice(server: RunningServer) -> None:
    ids = {infer(server, ROW)["id"] for _ in range(50)}
    assert len(ids) == 50


@pytest.mark.parametrize("path", ["/v2/models/delay/infer", "/v2/models/delay/versions/3/infer"])
def test_a_column_may_be_nested_as_its_shape_says(server: RunningServer, path: str) -> None:
    body = infer_body(ROW, ROW)
    for tensor in body["inputs"]:
        tensor["shape"], tensor["data"] = [2, 1], [[value] for value in tensor["data"]]
    assert server.ask("POST", path, body)[0] == 200


def test_null_is_taken_where_the_column_may_be_null(server: RunningServer) -> None:
    assert infer(server, {**ROW, "distance": None})["outputs"][0]["data"] == [pytest.approx(rule(None, 7, "UA", False))]


def test_an_unknown_category_is_answered(server: RunningServer) -> None:
    assert infer(server, {**ROW, "carrier": "née-quite-new ✈"})["outputs"][0]["shape"] == [1]


def test_only_the_outputs_asked_for_come_back(server: RunningServer) -> None:
    assert [o["name"] for o in infer(server, ROW, outputs=[{"name": "probability"}])["outputs"]] == ["probability"]
    assert refusal(server, infer_body(ROW, outputs=[{"name": "price"}])) == (
        400,
        "there is no output 'price'; there are: probability",
    )


def test_a_large_batch_is_answered_like_its_rows(server: RunningServer) -> None:
    rows = [{**ROW, "distance": float(n)} for n in range(5_000)]
    assert len(json.dumps(infer_body(*rows))) > 64 << 10  # so it is answered aside
    assert infer(server, *rows)["outputs"][0]["data"] == pytest.approx([rule(*row.values()) for row in rows])


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/delay/ready", {"ready": True}),
        ("/v2/models/delay/versions/3/ready", {"ready": True}),
    ],
)
def test_health_is_told(server: RunningServer, path: str, expected: dict[str, bool]) -> None:
    assert server.ask("GET", path)[:2] == (200, expected)


def test_the_server_and_the_model_describe_themselves(server: RunningServer) -> None:
    assert server.ask("GET", "/v2")[1]["name"] == "mlopsfw"
    model = server.ask("GET", "/v2/models/delay")[1]
    assert [(t["name"], t["datatype"]) for t in model["inputs"]] == [
        ("distance", "FP64"), ("hour", "INT64"), ("carrier", "BYTES"), ("red_eye", "BOOL")
    ]  # fmt: skip
    assert model["parameters"]["classes"] == [False, True]


def test_the_openapi_document_names_every_route_that_answers(server: RunningServer) -> None:
    paths = server.ask("GET", "/openapi.json")[1]["paths"]
    for path, methods in paths.items():
        for method in methods:
            assert server.ask(method.upper(), path, {} if method == "post" else None)[0] not in (404, 405)


# -- MLflow's door ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": list(ROW), "index": [0], "data": [list(ROW.values())]}},
        {"dataframe_split": {"columns": list(reversed(ROW)), "data": [list(reversed(ROW.values()))]}},
        {"dataframe_records": [ROW]},
        {"instances": [ROW]},
        {"instances": [list(ROW.values())]},
        {"inputs": {name: [value] for name, value in ROW.items()}},
        {"inputs": [ROW]},
    ],
)
def test_each_form_of_invocation_is_the_same_rows(server: RunningServer, body: dict[str, Any]) -> None:
    status, answer, _ = server.ask("POST", "/invocations", body)
    assert status == 200
    assert answer["predictions"] == [pytest.approx(rule(*ROW.values()))]
    assert len(answer["prediction_ids"]) == 1


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "exactly one of"),
        ({"instances": [ROW], "dataframe_records": [ROW]}, "exactly one of"),
        ({"instances": []}, "missing columns"),
        ({"instances": [1, 2]}, "list of records"),
        ({"instances": [ROW, [1]]}, "list of records"),
        ({"inputs": {"distance": 1}}, "column 'distance' must be a list"),
        ({"inputs": 3}, "list of records, or lists by column"),
        ({"dataframe_records": [ROW, {"hour": 1}]}, "row 1: column"),
        (
            {"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values()), [1]]}},
            "row 1 has 1 values for 4 columns",
        ),
        ({"dataframe_split": {"columns": ["hour", "hour"], "data": []}}, "twice"),
        ({"dataframe_split": {"columns": "hour", "data": []}}, "$.dataframe_split.columns"),
        ({"data": []}, "unknown field"),
    ],
)
def test_an_invocation_that_is_none_is_told_what_is_wrong(
    server: RunningServer, body: dict[str, Any], says: str
) -> None:
    status, message = refusal(server, body, "/invocations")
    assert status == 400
    assert says in message


@pytest.mark.parametrize(("datatype", "value"), [("FP64", 7), ("FP32", 7), ("INT8", 7), ("UINT64", 7)])
def test_a_whole_number_may_come_in_any_datatype_that_holds_it(
    server: RunningServer, datatype: str, value: float
) -> None:
    body = infer_body(ROW | {"hour": 7})
    body["inputs"][1] |= {"datatype": datatype, "data": [value]}
    status, answer, _ = server.ask("POST", INFER, body)
    assert status == 200, answer
    assert answer["outputs"] == infer(server, ROW | {"hour": 7})["outputs"]


# -- bad input: a 4xx that names the place, never a 500 --------------------------------------------------------------------


def _with(**changes: Any) -> dict[str, Any]:
    return infer_body({**ROW, **changes})


def _tensor(**changes: Any) -> dict[str, Any]:
    body = infer_body(ROW)
    body["inputs"][1] |= changes
    return body


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (_with(distance="far"), "column 'distance', row 0"),
        (_with(hour=7.5), "column 'hour', row 0"),
        (_with(hour=None), "column 'hour', row 0"),
        (_with(carrier=3), "column 'carrier', row 0"),
        (_with(red_eye=1), "column 'red_eye', row 0"),
        (_with(carrier=["U"]), "column 'carrier', row 0"),
        (_with(distance={"a": 1}), "column 'distance', row 0"),
        (_tensor(datatype="BYTES"), "column 'hour' is of type integer: send INT64"),
        (_tensor(datatype="FP64", data=[7.5]), "column 'hour', row 0"),
        (_tensor(datatype="INT8", data=[300]), "value 0: 300 does not fit INT8"),
        (_tensor(datatype="UINT32", data=[-1]), "value 0: -1 does not fit UINT32"),
        (_tensor(datatype="FP16", data=[70000.0]), "value 0: 70000.0 does not fit FP16"),
        (_tensor(shape=[2]), "shape says 2 rows, data holds 1"),
        (_tensor(shape=[1, 2]), "shape must be [rows]"),
        (_tensor(shape=[]), "shape must be [rows]"),
        (_tensor(shape=[-1]), "shape says -1 rows"),
        (_tensor(data=[7, 8], shape=[2]), "has 2 rows, column 'distance' has 1"),
        (_tensor(name="hours"), "unknown column 'hours'. Did you mean 'hour'?"),
        (_tensor(name="distance"), "'distance' appears twice"),
        (_tensor(parameters={"binary_data_size": 8}), "binary tensors are not supported"),
        ({"inputs": infer_body(ROW)["inputs"][:-1]}, "missing column 'red_eye'"),
        ({"inputs": []}, "missing columns 'distance', 'hour', 'carrier', 'red_eye'"),
        (infer_body(), "no rows"),
        (infer_body(ROW, id="a\nb"), "`id` must be printable"),
        (infer_body(ROW, id="i" * 201), "at most 200"),
        (infer_body(ROW, id=7), "$.id"),
        (infer_body(ROW, parameters={"event_time": "2013-04-01T12:00:00"}), "with a zone"),
        (infer_body(ROW, parameters={"event_time": 12}), "as a string"),
        ({}, "missing required field `inputs`"),
        ([], "Expected `object`"),
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"pickle", "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b'{"inputs": [NaN]}', "not JSON"),
        (b'{"inputs": [Infinity]}', "not JSON"),
        (b'{"inputs": [{"name": "carrier", "data": ["\\ud83d"]}]}', r"not JSON: \ud83d is half of a surrogate pair"),
        (b'{"inputs": [1e999]}', "400"),
        (b"[" * 100_000, "Expected `object`"),
        (b'{"parameters": {"a": ' + b"[" * 60_000, "nested too deeply"),
        (b'{"parameters": ' + b'{"a": ' * 5_000, "nested too deeply"),
        (b'{"unknown": ' + b"[" * 60_000 + b"]" * 60_000 + b', "inputs": []}', "400"),
    ],
)
def test_bad_input_is_told_where_it_is_wrong(server: RunningServer, body: Any, says: str) -> None:
    status, message = refusal(server, body)
    assert status == 400
    assert says in f"{status} {message}"
    assert server.ask("GET", "/v2/health/ready")[0] == 200


@pytest.mark.parametrize("kind", ["", "text/csv", "text/plain", "application/x-www-form-urlencoded", "application/octet-stream",
                                  "application/x-pickle", "multipart/form-data; boundary=x", "application/jsonx"])  # fmt: skip
def test_only_json_is_read(server: RunningServer, kind: str) -> None:
    status, message = refusal(server, infer_body(ROW), Content_Type=kind)
    assert status == 415
    assert "application/json" in message


def test_json_may_name_its_charset(server: RunningServer) -> None:
    assert server.ask("POST", INFER, infer_body(ROW), Content_Type="application/json; charset=utf-8")[0] == 200


def test_an_encoded_body_is_refused_so_that_nothing_can_unfold(server: RunningServer) -> None:
    assert refusal(server, b"\x1f\x8b", Content_Encoding="gzip")[0] == 415


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12) | st.sampled_from(list(ROW)), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip
tensors = st.fixed_dictionaries(
    {
        "name": st.sampled_from([*ROW, "event_time", "x"]) | json_values,
        "datatype": st.sampled_from(["FP64", "INT64", "BOOL", "BYTES"]) | json_values,
        "shape": st.lists(st.integers(-1, 3), max_size=2) | json_values,
        "data": st.lists(json_values, max_size=3) | json_values,
    }
)
bodies = (
    json_values | st.fixed_dictionaries({"inputs": st.lists(tensors, max_size=5)})
    | st.dictionaries(st.sampled_from(["dataframe_split", "dataframe_records", "instances", "inputs", "params", "labels"]), json_values, max_size=2)
)  # fmt: skip


@given(body=bodies, path=st.sampled_from([INFER, "/invocations", "/labels"]))
@settings(max_examples=300, deadline=None)
def test_no_json_whatever_makes_the_server_fail(server: RunningServer, body: Any, path: str) -> None:
    status, answer, _ = server.ask("POST", path, body)
    assert status in (200, 400)
    assert status == 200 or answer["error"]


@given(body=st.binary(max_size=400))
@settings(max_examples=100, deadline=None)
def test_no_bytes_whatever_make_the_server_fail(server: RunningServer, body: bytes) -> None:
    assert server.ask("POST", INFER, body)[0] == 400


# -- what is kept ----------------------------------------------------------------------------------------------------------


def test_an_answered_row_is_kept_with_its_times(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        infer(server, ROW, id="a", parameters={"event_time": "2013-04-01T07:00:00-05:00"})
        infer(server, ROW, id="b")
        server.ask("POST", INFER, _with(hour="seven"))
    first, second = records(tmp_path)
    assert isinstance(first, Predictions)
    assert isinstance(second, Predictions)
    assert (first.request_id, first.event_times) == ("a", [micros("2013-04-01T12:00:00Z")])
    assert first.inputs == {name: [value] for name, value in ROW.items()}
    assert second.event_times == [second.processed_time]
    assert first.processed_time <= second.processed_time


def test_event_times_may_come_as_a_column(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        stamps = ["2013-04-01T12:00:00Z", None]
        body = infer_body(ROW, ROW, id="x")
        body["inputs"].append({"name": "event_time", "datatype": "BYTES", "shape": [2], "data": stamps})
        assert server.ask("POST", INFER, body)[0] == 200
        assert server.ask("POST", "/invocations", {"instances": [{**ROW, "event_time": stamps[0]}]})[0] == 200
        assert "row 0" in refusal(server, {"instances": [{**ROW, "event_time": "noon"}]}, "/invocations")[1]
    both, one = records(tmp_path)
    assert isinstance(both, Predictions)
    assert isinstance(one, Predictions)
    assert both.event_times == [micros("2013-04-01T12:00:00Z"), both.processed_time]
    assert one.event_times == [micros("2013-04-01T12:00:00Z")]
    assert "event_time" not in one.inputs


ABSURD = ["0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00Z", "1800-01-01T00:00:00Z", "2150-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59"]  # fmt: skip


def _timed(where: str, stamp: str) -> tuple[str, Any]:
    """Return the route and the body of a request that carries a time at `where`."""
    column = infer_body(ROW)
    column["inputs"].append({"name": "event_time", "datatype": "BYTES", "shape": [1], "data": [stamp]})
    return {
        "infer, parameter": (INFER, infer_body(ROW, parameters={"event_time": stamp})),
        "infer, column": (INFER, column),
        "invocations, parameter": ("/invocations", {"instances": [ROW], "params": {"event_time": stamp}}),
        "invocations, records": ("/invocations", {"dataframe_records": [{**ROW, "event_time": stamp}]}),
        "invocations, inputs": ("/invocations", {"inputs": {**{k: [v] for k, v in ROW.items()}, "event_time": [stamp]}}),
        "labels": ("/labels", {"labels": [{"prediction_id": "a", "label": True, "label_time": stamp}]}),
    }[where]  # fmt: skip


@pytest.mark.parametrize("stamp", ABSURD)
@pytest.mark.parametrize(
    "where", ["infer, parameter", "infer, column", "invocations, parameter", "invocations, records", "invocations, inputs", "labels"]
)  # fmt: skip
def test_no_request_brings_in_a_time_that_is_too_far_from_now(server: RunningServer, where: str, stamp: str) -> None:
    path, body = _timed(where, stamp)
    status, message = refusal(server, body, path)
    assert status == 400
    assert f"the time {stamp} is" in message


def test_labels_are_kept_all_or_none(tmp_path: Path) -> None:
    good = {"prediction_id": "a", "label": True, "label_time": "2013-04-02T12:00:00Z"}
    with RunningServer(tmp_path) as server:
        assert server.ask("POST", "/labels", {"labels": [good, {"prediction_id": "b", "label": False}]})[1] == {
            "accepted": 2
        }
        for bad, says in [
            ({**good, "label": "late"}, "row 1: the label 'late' is not a class. Classes: False, True."),
            ({**good, "label_time": "tomorrow"}, "row 1: 'tomorrow' is not a time with a zone"),
            ({"label": True}, "prediction_id"),
            ({**good, "label": None}, "$.labels[1].label"),
            ({**good, "prediction_id": ""}, "row 1: `prediction_id` is missing or not text"),
            ({**good, "prediction_id": "i" * 257}, "row 1: `prediction_id` must be printable and at most 256"),
            ({**good, "prediction_id": "i" * 1_000_000}, "at most 256"),
            ({**good, "prediction_id": "a\nb"}, "printable"),
        ]:
            status, message = refusal(server, {"labels": [good, bad]}, "/labels")
            assert (status, says in message) == (400, True), message
        assert refusal(server, {"labels": []}, "/labels")[0] == 400
    (kept,) = records(tmp_path)
    assert isinstance(kept, LabelRows)
    assert (kept.ids, kept.labels) == (["a", "b"], [True, False])
    assert kept.label_times == [micros("2013-04-02T12:00:00Z"), kept.received_time]


def test_metrics_count_requests_rows_errors_and_what_was_kept(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        infer(server, ROW, ROW)
        server.ask("POST", INFER, {})
        server.ask("GET", "/nothing")
        status, text, headers = server.ask("GET", "/metrics")
    samples = dict(line.rsplit(" ", 1) for line in text.decode().splitlines() if not line.startswith("#"))
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    assert samples['mlopsfw_requests_total{endpoint="delay",route="infer",status="200"}'] == "1"
    assert samples['mlopsfw_requests_total{endpoint="delay",route="infer",status="400"}'] == "1"
    assert samples['mlopsfw_errors_total{endpoint="delay",kind="404"}'] == "1"
    assert samples['mlopsfw_rows_total{endpoint="delay"}'] == "2"
    assert samples['mlopsfw_captured_total{endpoint="delay"}'] == "2"
    assert float(samples['mlopsfw_request_seconds_bucket{endpoint="delay",le="+Inf"}']) == 3


def test_answers_are_strict_json(server: RunningServer) -> None:
    for body in (infer(server, ROW), server.ask("GET", "/openapi.json")[1]):
        json.dumps(body, allow_nan=False)
    assert not math.isnan(infer(server, {**ROW, "distance": 1e300})["outputs"][0]["data"][0])


def test_what_was_answered_reaches_the_disk_within_two_seconds(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        infer(server, ROW)
        segment = server.capture._segment
        assert segment is not None
        end = time.monotonic() + 2.0
        while segment._synced < segment.size:
            assert time.monotonic() < end
            time.sleep(0.02)


def test_a_pipeline_of_requests_in_one_turn_is_kept_with_one_write_and_answered_in_full(tmp_path: Path) -> None:
    body = json.dumps(infer_body(ROW)).encode()
    head = (
        f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    )
    requests = (head.encode() + b"\r\n" + body) * 49 + head.encode() + b"Connection: close\r\n\r\n" + body
    with RunningServer(tmp_path) as server:
        assert server.raw(requests).count(b"HTTP/1.1 200 OK") == 50
    assert len({record.ids[0] for record in records(tmp_path)}) == 50


def test_personal_columns_are_captured_treated_and_what_was_dropped_in_training_is_taken_and_forgotten(tmp_path):
    from mlopsfw.privacy.requests import Requests
    from mlopsfw.privacy.treatments import Treatment

    key = b"k" * 32
    requests = Requests(
        Treatment({"email": "drop"}), Treatment({"carrier": "hash", "hour": "drop", "email": "drop"}, key)
    )
    with RunningServer(tmp_path, requests=requests) as server:
        row = {**ROW, "carrier": "canary-carrier", "email": "canary@example.org"}
        status, answer, _ = server.ask("POST", "/invocations", {"dataframe_records": [row]})
        assert status == 200
        assert answer["predictions"] == [pytest.approx(rule(500.0, 7, "canary-carrier", False), rel=1e-6)]
    written = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"canary" not in written
    assert requests.captured({"carrier": ["canary-carrier"]})["carrier"][0].encode() in written
