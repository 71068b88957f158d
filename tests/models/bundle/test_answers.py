"""What a model answers is checked against its manifest: when a bundle is written, when it is opened and whenever it predicts."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.kernel.base.errors import AnswerMismatch, BundleError
from mlopsfw.kernel.plugins.blame import Blamed, blame_of
from mlopsfw.kernel.plugins.catalog import Claim
from mlopsfw.kernel.roles.bundle import OutputColumn, SignatureColumn
from mlopsfw.kernel.roles.training import TrainedModel, TrainingTask
from mlopsfw.models import bundle
from mlopsfw.models.bundle.answers import Answers, as_lists
from mlopsfw.models.bundle.manifest import outputs_for

ROWS = pl.DataFrame({"x": np.linspace(0.0, 1.0, 200), "y": [0, 1] * 100})
KNOWN = {
    "binary": ((0, 1), lambda rows: {"probability": np.full(rows, 0.5)}),
    "multiclass": (("a", "b", "c"), lambda rows: {"probabilities": np.full((rows, 3), 1 / 3)}),
    "regression": ((), lambda rows: {"value": np.full(rows, 2.5)}),
}
WRONG = {
    "one value": ("binary", lambda rows: {"probability": np.array([0.5])}, r"1 values for|1\] "),
    "nothing": ("binary", lambda _: {}, "holds no output"),
    "None": ("binary", lambda _: None, "NoneType"),
    "another name": ("binary", lambda rows: {"p": np.full(rows, 0.5)}, "'p', not 'probability'"),
    "one too many": ("binary", lambda rows: {"probability": np.full(rows, 0.5), "q": np.ones(rows)}, "'q'"),
    "probability 7": ("binary", lambda rows: {"probability": np.full(rows, 7.0)}, "row 0: 7 is above 1"),
    "below 0": ("binary", lambda rows: {"probability": np.full(rows, -0.1)}, "row 0: -0.1 is below 0"),
    "two columns": ("binary", lambda rows: {"probability": np.full((rows, 2), 0.5)}, "its shape is"),
    "NaN": ("binary", lambda rows: {"probability": np.full(rows, np.nan)}, "row 0: nan is not finite"),
    "texts": ("binary", lambda rows: {"probability": np.full(rows, "0.5")}, "not number"),
    "sums": ("multiclass", lambda rows: {"probabilities": np.full((rows, 3), 0.3)}, "the sum of the row, not 1"),
    "width": ("multiclass", lambda rows: {"probabilities": np.full((rows, 2), 0.5)}, "its shape is"),
    "infinite": ("regression", lambda rows: {"value": np.full(rows, np.inf)}, "row 0: inf is not finite"),
}


class Answering:
    """A runtime whose model answers what its file says, by name."""

    def __init__(self, answer):
        self.answer = answer

    def load(self, _folder, _manifest):
        return self

    def predict(self, columns):
        return self.answer(len(columns["x"]))


def write(tmp_path, task, runtime):
    (tmp_path / "model.any").write_bytes(b"any")
    trained = TrainedModel(
        inputs=(SignatureColumn(name="x", type="number"),), files={"model.any": tmp_path / "model.any"},
        formats={"any": "model.any"}, classes=KNOWN[task][0],
    )  # fmt: skip
    learned = TrainingTask(task=task, target="y")
    bundle.write(tmp_path / "bundle", trained, learned, TableHandle.of(ROWS), {"any": runtime})
    return tmp_path / "bundle"


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_answer_is_refused_when_a_bundle_is_written(tmp_path, wrong):
    task, answer, says = WRONG[wrong]
    with pytest.raises(AnswerMismatch, match=says):
        write(tmp_path, task, Answering(answer))


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_answer_is_refused_when_a_bundle_is_opened(tmp_path, wrong):
    task, answer, says = WRONG[wrong]
    folder = write(tmp_path, task, Answering(KNOWN[task][1]))
    with pytest.raises(AnswerMismatch, match=says):
        bundle.open_bundle(folder, lambda _: Answering(answer))


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_answer_when_served_names_model_output_row_and_plugin(tmp_path, wrong):
    task, answer, says = WRONG[wrong]
    runtime = Answering(KNOWN[task][1])
    claim = Claim(kind="runtime", name="any", module="acme", distribution="acme", version="1.2", api=1)
    loaded = bundle.open_bundle(write(tmp_path, task, runtime), lambda _: Blamed(runtime, claim, "runtime"), "delay@3")
    runtime.answer = answer
    for predict in (loaded.predict, lambda columns: loaded.predict_table(pl.DataFrame(columns))):
        with pytest.raises(AnswerMismatch, match=says) as caught:
            predict({"x": [0.5, 0.25, 0.125]})
        assert caught.value.message.startswith("delay@3: ")
        assert "acme" in blame_of(caught.value)
        assert "Model.predict" in blame_of(caught.value)


@pytest.mark.parametrize("task", KNOWN)
def test_a_known_task_has_outputs_of_its_own(task):
    classes, answer = KNOWN[task]
    outputs = outputs_for(task, classes)
    assert [output.name for output in outputs] == list(answer(1))
    assert Answers(outputs, "m").checked(answer(5), 5).keys() == answer(5).keys()


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_probability_that_rounding_took_beyond_a_bound_is_that_bound(task):
    outputs = outputs_for(task, KNOWN[task][0])
    beyond = np.array([[1.0000002, -1e-7, 0.0], [0.5, 0.25, 0.25]], dtype=np.float32)
    answer = beyond if task == "multiclass" else beyond[:, 0]
    (held,) = Answers(outputs, "m").checked({outputs[0].name: answer}, 2).values()
    assert held.dtype == np.float32
    assert (held == np.clip(answer, 0, 1)).all()
    for wrong in (1.001, -0.001, np.nan):
        with pytest.raises(AnswerMismatch):
            Answers(outputs, "m").checked({outputs[0].name: np.full_like(answer, wrong)}, 2)


@pytest.mark.parametrize("task", ["ranking", "multilabel", "forecast", "anomaly", "custom"])
def test_another_task_declares_its_outputs(task):
    declared = (OutputColumn(name="score", type="number"),)
    assert outputs_for(task, (), declared) == declared
    with pytest.raises(BundleError, match="declares none"):
        outputs_for(task, ())


@pytest.mark.parametrize("classes", [(), (1,), (1, 2, 3)])
def test_a_binary_model_has_two_classes(classes):
    with pytest.raises(BundleError, match="two classes"):
        outputs_for("binary", classes)


def test_a_declared_output_may_not_loosen_what_the_task_asks_for():
    loose = OutputColumn(name="p", type="number", maximum=10.0)
    (kept,) = outputs_for("binary", (0, 1), (loose,))
    assert (kept.name, kept.minimum, kept.maximum) == ("p", 0.0, 1.0)
    with pytest.raises(BundleError, match="first output of a binary model"):
        outputs_for("binary", (0, 1), (OutputColumn(name="p", type="string"),))


MOMENT = np.array(["2013-01-01T10:00", "2013-01-02T11:30"], dtype="M8[us]")
EVERY_TYPE = {
    "integer": (OutputColumn(name="o", type="integer"), np.array([1, 2]), [1, 2], np.array([1.5, 2.5])),
    "boolean": (OutputColumn(name="o", type="boolean"), np.array([True, False]), [True, False], np.array([1, 0])),
    "string": (OutputColumn(name="o", type="string"), pa.array(["a", "b"]), ["a", "b"], np.array([1, 2])),
    "binary": (OutputColumn(name="o", type="binary"), np.array([b"a", b"b\0"], dtype=object), [b"a", b"b\0"], ["a", "b"]),
    "date": (OutputColumn(name="o", type="date"), MOMENT.astype("M8[D]"), ["2013-01-01", "2013-01-02"], ["a", "b"]),
    "datetime": (
        OutputColumn(name="o", type="datetime"), MOMENT, ["2013-01-01T10:00:00.000000Z", "2013-01-02T11:30:00.000000Z"], np.array(["NaT", "NaT"], dtype="M8[us]"),
    ),
    "list": (OutputColumn(name="o", type="list", items="number"), [[1.0], [2.0, 3.0]], [[1.0], [2.0, 3.0]], [1.0, 2.0]),
    "list of Arrow": (OutputColumn(name="o", type="list", items="number"), pa.array([[1.0], [2.0]]), [[1.0], [2.0]], ["a", "b"]),
    "tensor": (
        OutputColumn(name="o", type="tensor", dtype="int64", shape=(None,)), np.ones((2, 3), dtype=np.int64), [[1, 1, 1]] * 2, np.ones((2, 3, 1)),
    ),
    "nullable": (OutputColumn(name="o", type="number", nullable=True), np.array([np.nan, 1.0]), None, np.array([np.inf, 1.0])),
}  # fmt: skip


@pytest.mark.parametrize("kind", EVERY_TYPE)
def test_an_output_may_be_of_any_type_and_no_other(kind):
    column, right, plain, wrong = EVERY_TYPE[kind]
    answers = Answers((column,), "m")
    checked = answers.checked({"o": right}, 2)
    assert plain is None or as_lists(checked)["o"] == plain
    for bad in (wrong, right[:1], None):
        with pytest.raises(AnswerMismatch, match="output 'o'"):
            answers.checked({"o": bad}, 2)


def test_a_forged_manifest_cannot_loosen_the_outputs_of_a_known_task(tmp_path):
    folder = write(tmp_path, "binary", Answering(KNOWN["binary"][1]))
    manifest = json.loads((folder / "bundle.json").read_bytes())
    manifest["outputs"][0]["maximum"] = 100.0
    (folder / "bundle.json").write_text(json.dumps(manifest))
    assert hashlib.sha256((folder / "model.any").read_bytes()).hexdigest() == manifest["files"]["model.any"]
    with pytest.raises(BundleError, match="not as the task asks for"):
        bundle.verify(folder)
