"""A request asks for contributions by `explain`, in both protocols. They are computed in steps, so that others are answered meanwhile."""

from __future__ import annotations

import math
import threading
import time

import numpy as np
import pytest
from serving import ROW, RuleBundle, RunningServer, ask, infer_body

from mlopsfw.capturelog import appendlog
from mlopsfw.capturelog.records import decode_record
from mlopsfw.errors import UsageError
from mlopsfw_deployer_http import strict
from mlopsfw_deployer_http.strict import MOST_EXPLAINED

INFER = "/v2/models/delay/infer"


class Explained(RuleBundle):
    """Explains its rule, which is a sum."""

    seconds = 0.0
    calls = 0

    def explain(self, columns):
        self.calls += 1
        time.sleep(self.seconds)
        rows = len(columns["hour"])
        shares = {
            "": [-3.0] * rows, "distance": [each / 1000 for each in columns["distance"]],
            "hour": [each / 24 for each in columns["hour"]], "carrier": list(map(len, columns["carrier"])),
            "red_eye": columns["red_eye"],
        }  # fmt: skip
        return {name: np.array(values, dtype=np.float64) for name, values in shares.items()}


@pytest.fixture
def server(tmp_path):
    with RunningServer(tmp_path / "captures", bundle=Explained()) as running:
        yield running


def post(server, path, body):
    return ask(server.port, "POST", path, body)[:2]


def explained(count=1, **more):
    return infer_body(*[ROW] * count, parameters={"explain": True}, **more)


def test_the_answer_has_a_tensor_for_each_input_and_they_add_up_to_the_log_odds(server):
    status, answer = post(server, INFER, explained())
    assert status == 200
    values = {each["name"]: each["data"][0] for each in answer["outputs"]}
    probability = values.pop("probability")
    assert list(values) == ["contribution", *(f"contribution[{name}]" for name in ROW)]
    assert sum(values.values()) == pytest.approx(math.log(probability / (1 - probability)))
    (only,) = post(server, INFER, explained(outputs=[{"name": "contribution[hour]"}]))[1]["outputs"]
    assert only == {"name": "contribution[hour]", "datatype": "FP64", "shape": [1], "data": [7 / 24]}


def test_mlflows_protocol_takes_explain_among_its_params(server):
    status, answer = post(server, "/invocations", {"dataframe_records": [ROW], "params": {"explain": True}})
    assert (status, answer["predictions"][0]["contribution[red_eye]"]) == (200, 0.0)


def test_explanations_are_not_captured(server, tmp_path):
    post(server, INFER, explained(3))
    server.__exit__()
    (segment,) = appendlog.segments(tmp_path / "captures")
    (record,) = [decode_record(payload) for _, payload in [*appendlog.read(segment)][1:]]
    assert list(record.outputs) == ["probability"]


def test_rows_are_explained_some_at_a_time_and_a_request_holds_a_thousand(server):
    status, answer = post(server, INFER, explained(MOST_EXPLAINED))
    assert (status, answer["outputs"][1]["shape"]) == (200, [MOST_EXPLAINED])
    assert server.service._scorer._bundle.calls > MOST_EXPLAINED / 20
    status, answer = post(server, INFER, explained(MOST_EXPLAINED + 1))
    assert (status, answer["error"]) == (413, "the body holds 1001 rows to explain; send at most 1000 at a time")


def test_short_requests_are_answered_while_a_short_body_is_explained(server):
    server.service._scorer._bundle.seconds = 0.05
    asked = threading.Thread(target=post, args=(server, INFER, explained(100)))
    begun = time.monotonic()
    asked.start()
    waits = []
    while asked.is_alive():
        sent = time.monotonic()
        assert post(server, INFER, infer_body(ROW))[0] == 200
        waits.append(time.monotonic() - sent)
    assert time.monotonic() - begun > 0.3
    assert np.median(waits) < 0.05


@pytest.mark.parametrize("path", [INFER, "/invocations"])
def test_explanations_that_take_too_long_are_refused_before_they_count_as_a_hang(server, monkeypatch, path):
    monkeypatch.setattr(strict, "_PATIENCE", 0.2)
    server.service._scorer._bundle.seconds = 0.05
    body = explained(500) if path == INFER else {"dataframe_records": [ROW] * 500, "params": {"explain": True}}
    begun = time.monotonic()
    status, answer = post(server, path, body)
    assert (status, answer["error"]) == (413, "the explanations take longer than 0.2 s; send fewer rows at a time")
    assert time.monotonic() - begun < 1.5
    assert post(server, INFER, explained(1))[0] == 200


def test_a_model_that_cannot_be_explained_and_a_wrong_parameter_are_400_in_words(server, monkeypatch):
    def explain(_self, _columns):
        raise UsageError("the answers of a model of the task 'ranking' cannot be explained")

    monkeypatch.setattr(Explained, "explain", explain)
    assert post(server, INFER, explained()) == (
        400, {"error": "the answers of a model of the task 'ranking' cannot be explained"},
    )  # fmt: skip
    assert post(server, INFER, infer_body(ROW, parameters={"explain": "yes"})) == (
        400, {"error": "explain: write true or false"},
    )  # fmt: skip
