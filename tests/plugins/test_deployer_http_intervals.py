"""A request asks for intervals or sets by `alpha`, in both protocols. They are not captured."""

from __future__ import annotations

import numpy as np
import pytest
from serving import ROW, RuleBundle, RunningServer, ask, infer_body

from mlopsfw.errors import UsageError


class Uncertain(RuleBundle):
    """Holds both classes in each set; knows no alpha below 0.01."""

    def predict_uncertain(self, columns, alpha):
        if not isinstance(alpha, float) or alpha < 0.01:
            raise UsageError(f"alpha {alpha} needs more calibration rows")
        outputs = self.predict(columns)
        return {**outputs, "probability.set": np.ones((len(outputs["probability"]), 2), dtype=bool)}


@pytest.fixture
def post(tmp_path):
    with RunningServer(tmp_path / "captures", bundle=Uncertain()) as server:
        yield lambda path, body: ask(server.port, "POST", path, body)[:2]


def infer(post, **more):
    return post("/v2/models/delay/infer", infer_body(ROW, **more))


def test_the_answer_has_a_tensor_more(post):
    status, answer = infer(post, parameters={"alpha": 0.1})
    assert status == 200
    assert answer["outputs"][1] == {
        "name": "probability.set", "datatype": "BOOL", "shape": [1, 2], "data": [True, True],
    }  # fmt: skip
    assert [each["name"] for each in infer(post)[1]["outputs"]] == ["probability"]
    (only,) = infer(post, parameters={"alpha": 0.1}, outputs=[{"name": "probability.set"}])[1]["outputs"]
    assert only["name"] == "probability.set"


def test_mlflows_protocol_takes_alpha_among_its_params(post):
    status, answer = post("/invocations", {"dataframe_records": [ROW], "params": {"alpha": 0.1}})
    assert (status, answer["predictions"][0]["probability.set"]) == (200, [True, True])


@pytest.mark.parametrize("alpha", [0.001, "most"])
def test_an_alpha_that_the_model_cannot_keep_is_a_400_in_words(post, alpha):
    status, answer = infer(post, parameters={"alpha": alpha})
    assert status == 400
    assert "needs more calibration rows" in answer["error"]


def test_a_long_request_is_answered_alike(post):
    status, answer = post("/v2/models/delay/infer", infer_body(*[ROW] * 20_000, parameters={"alpha": 0.1}))
    assert status == 200
    assert answer["outputs"][1]["shape"] == [20_000, 2]
    assert len(answer["outputs"][1]["data"]) == 40_000
    assert infer(post, parameters={"alpha": 0.001})[0] == 400
