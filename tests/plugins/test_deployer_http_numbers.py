"""No number of a request is a fault of the server: what no column holds is refused by column and row, whatever its size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from bundles import write_bundle
from serving import ROW, RuleBundle, RunningServer, infer_body

from mlopsfw.privacy.requests import Requests
from mlopsfw.privacy.treatments import Mark, Treatment
from mlopsfw.project.facade import Project

pytestmark = pytest.mark.server

INFER = "/v2/models/delay/infer"
HUGE = {
    "2**64": "18446744073709551616",
    "-2**63-1": "-9223372036854775809",
    "20 digits": "9" * 20,
    "400 digits": "1" + "0" * 400,
    "4001 digits": "1" + "0" * 4000,
    "10001 digits": "1" + "0" * 10_000,
    "1e400": "1e400",
    "-1e400": "-1e400",
    "0.1e999": "0.1e999",
    "1e(20 digits)": "1e" + "9" * 20,
    "long with a point": "1" + "0" * 400 + ".5",
}
HELD = {"-0": "-0", "-0.0": "-0.0", "1e-400": "1e-400", "2**63-1": "9223372036854775807", "2**64-1": str(2**64 - 1), "1e308": "1e308",
        "5e-324": "5e-324", "2**63": str(2**63)}  # fmt: skip
COLUMNS = ("distance", "hour", "carrier", "red_eye")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of a real bundle: its signature is checked by its feature plan."""
    root = tmp_path_factory.mktemp("project")
    (root / "mlopsfw.toml").write_text('[project]\nname = "test"\n')
    with Project.open(root) as project:
        write_bundle(project, root / "bundle", 0.0)
        with RunningServer(root / "captures", bundle=project.bundles.open(root / "bundle")) as running:
            yield running


def with_number(body: Any, number: str) -> bytes:
    """Return `body` as JSON with `number` in the place of the text "NUMBER"."""
    return json.dumps(body).replace('"NUMBER"', number).encode()


def bodies(column: str, row: int = 2) -> dict[str, tuple[str, Any]]:
    rows = [dict(ROW) for _ in range(4)]
    rows[row][column] = "NUMBER"
    split = {"columns": list(ROW), "data": [list(each.values()) for each in rows]}
    return {
        "v2": (INFER, infer_body(*rows)),
        "dataframe_records": ("/invocations", {"dataframe_records": rows}),
        "dataframe_split": ("/invocations", {"dataframe_split": split}),
        "instances": ("/invocations", {"instances": rows}),
        "lists of instances": ("/invocations", {"instances": split["data"]}),
        "inputs": ("/invocations", {"inputs": {name: [each[name] for each in rows] for name in ROW}}),
    }


@pytest.mark.parametrize("number", HUGE)
@pytest.mark.parametrize("column", COLUMNS)
def test_a_number_that_no_column_holds_is_refused_by_column_and_row(
    served: RunningServer, column: str, number: str
) -> None:
    for form, (path, body) in bodies(column).items():
        status, answer, _ = served.ask("POST", path, with_number(body, HUGE[number]))
        assert status == 400, form
        assert f"column '{column}', row 2" in answer["error"], (form, answer)
        assert len(answer["error"]) < 200


@pytest.mark.parametrize("number", HELD)
def test_a_number_that_a_column_holds_is_answered_and_captured(served: RunningServer, number: str) -> None:
    for path, body in bodies("distance").values():
        before = served.capture.captured
        assert served.ask("POST", path, with_number(body, HELD[number]))[0] == 200
        assert served.capture.captured == before + 4


@pytest.mark.parametrize(("column", "mark"), [("carrier", "hash"), ("distance", "mask")])
def test_a_number_in_a_marked_column_is_treated_or_refused(tmp_path: Path, column: str, mark: Mark) -> None:
    marked = Requests(Treatment({column: mark}, b"k" * 32), Treatment({}))
    with RunningServer(tmp_path, requests=marked) as server:
        for name, number in HUGE.items():
            status, answer, _ = server.ask("POST", INFER, with_number(bodies(column)["v2"][1], number))
            whole = number.lstrip("-").isdigit() and len(number) < 4300
            assert status == (200 if whole else 400), name
            assert whole or f"column '{column}', row 2" in answer["error"]


PLACES: dict[str, tuple[str, Any]] = {
    "shape": (INFER, {**infer_body(ROW), "inputs": [{**i, "shape": ["NUMBER"]} for i in infer_body(ROW)["inputs"]]}),
    "second of shape": (INFER, {"inputs": [{**i, "shape": [1, "NUMBER"]} for i in infer_body(ROW)["inputs"]]}),
    "id": (INFER, infer_body(ROW, id="NUMBER")),
    "event time": (INFER, infer_body(ROW, parameters={"event_time": "NUMBER"})),
    "name": (INFER, {"inputs": [{**i, "name": "NUMBER"} for i in infer_body(ROW)["inputs"]]}),
    "output": (INFER, infer_body(ROW, outputs=[{"name": "NUMBER"}])),
    "column of event times": ("/invocations", {"dataframe_records": [{**ROW, "event_time": "NUMBER"}]}),
    "invocations id": ("/invocations", {"instances": [ROW], "params": {"id": "NUMBER"}}),
    "invocations event time": ("/invocations", {"instances": [ROW], "params": {"event_time": "NUMBER"}}),
    "body": (INFER, "NUMBER"),
    "instances": ("/invocations", {"instances": "NUMBER"}),
    "label": ("/labels", {"labels": [{"prediction_id": "a", "label": "NUMBER"}]}),
    "label's id": ("/labels", {"labels": [{"prediction_id": "NUMBER", "label": True}]}),
    "label time": ("/labels", {"labels": [{"prediction_id": "a", "label": True, "label_time": "NUMBER"}]}),
}


@pytest.mark.parametrize("number", HUGE)
@pytest.mark.parametrize("place", PLACES)
def test_a_number_of_any_size_where_another_thing_belongs_is_refused(
    served: RunningServer, place: str, number: str
) -> None:
    path, body = PLACES[place]
    status, answer, _ = served.ask("POST", path, with_number(body, HUGE[number]))
    assert status == 400, answer
    assert len(answer["error"]) < 300


@pytest.mark.parametrize("number", HUGE)
def test_a_number_in_parameters_that_are_ignored_is_ignored(served: RunningServer, number: str) -> None:
    body = infer_body(ROW, parameters={"priority": "NUMBER"})
    body["inputs"][0]["parameters"] = {"x": ["NUMBER"]}
    assert served.ask("POST", INFER, with_number(body, HUGE[number]))[0] == 200


@pytest.mark.parametrize("length", ["9" * 30, "-1", "1e3", "1" + "0" * 5000, "0x10", "+1"])
def test_a_content_length_of_any_size_is_refused(served: RunningServer, length: str) -> None:
    head = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    assert served.raw(head.encode())[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 413")


def test_a_regression_label_of_any_size_is_refused_by_row(tmp_path: Path) -> None:
    bundle = RuleBundle()
    bundle.manifest = msgspec.structs.replace(bundle.manifest, task="regression", classes=())
    with RunningServer(tmp_path, bundle=bundle) as server:
        for name, number in HUGE.items():
            labels = [{"prediction_id": "a", "label": 1.5}, {"prediction_id": "b", "label": "NUMBER"}]
            status, answer, _ = server.ask("POST", "/labels", with_number({"labels": labels}, number))
            held = name in {"2**64", "-2**63-1", "20 digits"}
            assert status == (200 if held else 400), (name, answer)
            assert held or "row 1" in answer["error"] or "labels[1]" in answer["error"]
