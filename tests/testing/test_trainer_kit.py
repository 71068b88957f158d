"""The kit of trainers: a regression-only ridge passes it, and trainers that ignore what they must heed fail it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Annotated

import msgspec
import numpy as np
import onnx
import polars as pl
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlopsfw.features import FeaturePlan
from mlopsfw.features.fit import training_columns
from mlopsfw.features.labels import numbers, rows_with_label
from mlopsfw.features.tables import signature_of
from mlopsfw.kernel.base.errors import DataError, MlopsfwError, PluginError
from mlopsfw.kernel.roles.training import TrainedModel
from mlopsfw.models import bundle
from mlopsfw.roles import read_model
from mlopsfw.testing.trainer import Context, RecordedData, TrainerConformance, training_rows
from mlopsfw_runtime_onnx.runtime import OnnxRuntime


class Ridge:
    """A regression with a penalty, solved at once: it learns one task, and nothing in it is random."""

    tasks = ("regression",)
    abilities = ("weight", "valid", "derived")

    def fit(self, task, train, valid, context):
        frame = self.rows(train, task)
        if not frame.height:
            raise DataError(f"no training row has a label in {task.target!r}")
        plan = FeaturePlan.fit(frame, task)
        design, labels, weights = self.arrays(plan, frame, task)
        gram = design.T @ (design * weights[:, None]) + 1e-3 * np.eye(design.shape[1])
        beta = np.linalg.solve(gram, design.T @ (labels * weights))
        metrics = {"train_mse": float(np.mean((design @ beta - labels) ** 2))}
        if valid is not None:
            checked, truth, counts = self.arrays(plan, self.rows(valid, task), task)
            metrics["valid_mse"] = float(np.average((checked @ beta - truth) ** 2, weights=self.counted(counts)))
        context.progress("solved", 1.0)
        context.log_metric("mse", metrics["train_mse"])
        file = context.scratch / "model.onnx"
        file.write_bytes(self.exported(plan, beta))
        kept = context.scratch / "plan.json"
        kept.write_bytes(plan.to_json())
        return TrainedModel(
            inputs=plan.inputs,
            files={"model.onnx": file, "plan.json": kept},
            formats={"onnx": "model.onnx"},
            metrics=metrics,
        )

    def rows(self, data, task):
        columns = training_columns(data.schema.names, task)
        return data.lazy().select(columns).collect().drop_nulls(task.target)

    def arrays(self, plan, frame, task):
        arrays = plan.polars(frame)
        parts = [np.ones((frame.height, 1)), arrays["numeric"]]
        for at, count in enumerate(plan.code_counts):
            parts.append(np.eye(count)[arrays["categorical"][:, at]])
        weights = frame[task.weight].to_numpy() if task.weight else np.ones(frame.height)
        return np.concatenate(parts, axis=1).astype(float), frame[task.target].cast(float).to_numpy(), weights

    def counted(self, weights):
        return weights

    def exported(self, plan, beta):
        width, nodes, inputs = len(plan.numeric_sources), [], []
        parts = [np.float32(beta[:1]), np.float32(beta[1 : 1 + width]).reshape(-1, 1)]
        weights = [numpy_helper.from_array(part, f"w{at}") for at, part in enumerate(parts)]
        inputs.append(helper.make_tensor_value_info("numeric", TensorProto.FLOAT, ["rows", width]))
        nodes += [helper.make_node("MatMul", ["numeric", "w1"], ["m"]), helper.make_node("Add", ["m", "w0"], ["s0"])]
        total, start = "s0", 1 + width
        if plan.code_counts:
            inputs.append(
                helper.make_tensor_value_info("categorical", TensorProto.INT64, ["rows", len(plan.code_counts)])
            )
        for at, count in enumerate(plan.code_counts):
            weights += [
                numpy_helper.from_array(np.float32(beta[start : start + count]), f"c{at}"),
                numpy_helper.from_array(np.array([at]), f"i{at}"),
            ]
            nodes += [
                helper.make_node("Gather", ["categorical", f"i{at}"], [f"k{at}"], axis=1),
                helper.make_node("Gather", [f"c{at}", f"k{at}"], [f"g{at}"]),
                helper.make_node("Add", [total, f"g{at}"], [f"s{at + 1}"]),
            ]
            total, start = f"s{at + 1}", start + count
        weights.append(numpy_helper.from_array(np.array([1]), "axis"))
        nodes.append(helper.make_node("Squeeze", [total, "axis"], ["value"]))
        output = [helper.make_tensor_value_info("value", TensorProto.FLOAT, ["rows"])]
        graph = helper.make_graph(nodes, "ridge", inputs, output, weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        return model.SerializeToString()


class Sharded(Ridge):
    """Reads the rows as two workers would."""

    def rows(self, data, task):
        columns = training_columns(data.schema.names, task)
        batches = [
            batch
            for shard in self.shards
            for batch in data.batches(columns=columns, seed=task.seed, epoch=0, shard=shard)
        ]
        whole = data.table(columns).slice(0, 0)
        return pl.concat([pl.from_arrow(whole), *map(pl.from_arrow, batches)]).drop_nulls(task.target)

    shards = ((0, 2), (1, 2))


class TestARegressionOnlyRidgePasses(TrainerConformance):
    @pytest.fixture
    def trainer(self):
        return Ridge()


class TestATrainerThatReadsShardsPasses(TrainerConformance):
    @pytest.fixture
    def trainer(self):
        return Sharded()


WORDS = {"good": 2.0, "fine": 1.0, "bad": -1.0, "awful": -2.0, "plain": 0.0}


def texts(rows=1200, seed=0):
    """Return texts, with labels that follow from their words."""
    draw = np.random.default_rng(seed)
    said = draw.choice(list(WORDS), (rows, 6))
    signal = np.vectorize(WORDS.get)(said).sum(axis=1) + draw.normal(0, 0.5, rows)
    return pl.DataFrame(
        {
            "text": [" ".join(words) for words in said],
            "binary": signal > 0,
            "multiclass": np.array(["low", "middle", "high"])[np.digitize(signal, [-2.0, 2.0])],
            "regression": signal * 10 + 100,
        }
    )


class TextModel:
    """Answers with the mean label of the rows that had most words in common, by a weight for each word."""

    def __init__(self, weights):
        self.weights = weights

    def predict(self, columns):
        return {"value": np.array([self.value(text) for text in columns["text"]], dtype=float)}

    def value(self, text):
        return self.weights[""] + sum(self.weights.get(word, 0.0) for word in (text or "").split())


class TextRuntime:
    def load(self, folder, manifest):
        return TextModel(json.loads(read_model(folder, manifest, "words")))


class TextTrainer:
    """Learns a weight for each word of the one column `text`, and can learn from no other column."""

    tasks = ("regression",)
    abilities = ()

    def fit(self, task, train, valid, context):
        columns = training_columns(train.schema.names, task)
        rows = rows_with_label(train, task, columns, "training")
        if rows.schema.get("text") != pl.String:
            raise DataError("the column 'text' holds no texts")
        words = sorted({word for text in rows["text"] for word in text.split()})
        design = np.array([[1.0, *(text.split().count(word) for word in words)] for text in rows["text"]])
        weights, *_ = np.linalg.lstsq(design, numbers(rows[task.target]), rcond=None)
        context.progress("solved", 1.0)
        context.log_metric("rows", rows.height)
        file = context.scratch / "words.json"
        file.write_text(json.dumps(dict(zip(["", *words], weights.tolist(), strict=True))))
        return TrainedModel(
            inputs=signature_of(rows, ["text"]), files={"words.json": file}, formats={"words": "words.json"}
        )


class TestATrainerOfTextsPasses(TrainerConformance):
    @pytest.fixture
    def trainer(self):
        return TextTrainer()

    @pytest.fixture
    def make_rows(self):
        return texts

    @pytest.fixture
    def runtimes(self):
        return {"words": TextRuntime()}


class NamesNoColumn(Ridge):
    def fit(self, task, train, valid, context):
        try:
            return super().fit(task, train, valid, context)
        except MlopsfwError:
            raise DataError("this label cannot be learned") from None


class IgnoresWeights(Ridge):
    def arrays(self, plan, frame, task):
        design, labels, weights = super().arrays(plan, frame, task)
        return design, labels, np.ones_like(weights)


class MeasuresWithoutWeights(Ridge):
    def counted(self, weights):
        return np.ones_like(weights)


class IgnoresValidation(Ridge):
    def fit(self, task, train, valid, context):
        return super().fit(task, train, None, context)


class MeasuresTheTrainingRows(Ridge):
    def fit(self, task, train, valid, context):
        return super().fit(task, train, valid and train, context)


class ReadsPastItsShard(Sharded):
    shards = ((0, 2), (0, 1))


class ReadsTheShardOfAnother(Sharded):
    shards = ((0, 2), (0, 2))


class LeavesAShardOut(Sharded):
    shards = ((0, 2),)


class LearnsWhatItDoesNotName(Ridge):
    tasks = ()


class NamesAnAbilityThatThereIsNot(Ridge):
    abilities = ("weights",)


class NamesOneTaskAsText(Ridge):
    tasks = "regression"


def kit(trainer, tmp_path):
    """Return functions that train, and train and open, as the kit's fixtures make them."""
    suite = TrainerConformance()

    def train(task, rows, valid=None):
        context = Context.under(tmp_path, f"trained-{len(list(tmp_path.iterdir()))}")
        return trainer.fit(task, RecordedData(rows), None if valid is None else RecordedData(valid), context)

    def train_and_open(task, rows, valid=None):
        folder = tmp_path / f"bundle-{len(list(tmp_path.iterdir()))}"
        bundle.write(folder, train(task, rows, valid), task, RecordedData(rows), {"onnx": OnnxRuntime()})
        return bundle.open_bundle(folder, {"onnx": OnnxRuntime()}.__getitem__)

    return {
        "weight": lambda: suite.test_weights_of_rows_count(training_rows, trainer, train_and_open, "regression"),
        "valid": lambda: suite.test_validation_rows_are_measured(training_rows, trainer, train, "regression"),
        "measure": lambda: suite.test_weights_of_rows_count_in_what_is_measured(
            training_rows, trainer, train, "regression"
        ),
        "shard": lambda: suite.test_an_epoch_read_in_shards_reads_each_shard_once(
            training_rows, trainer, tmp_path, "regression"
        ),
        "names": lambda: suite.test_it_names_its_tasks_and_abilities(trainer),
        "refuses": lambda: suite.test_rows_that_cannot_be_learned_from_are_refused(
            training_rows, train, "regression", "no labels"
        ),
    }


def test_the_kit_takes_further_outputs_such_as_quantiles():
    outputs = [SimpleNamespace(name="value"), SimpleNamespace(name="low")]
    loaded = SimpleNamespace(
        predict_table=lambda rows: {"value": rows["regression"].to_numpy()}, manifest=SimpleNamespace(outputs=outputs)
    )
    TrainerConformance().test_it_learns_what_can_be_learned(training_rows, Ridge(), lambda *_: loaded, "regression")


def answering(value, low, high, levels=(0.2, 0.8)):
    """Return a `train_and_open` whose bundle answers a value and, where the task asks for them, quantiles."""

    def run(task, *_):
        outputs = [SimpleNamespace(quantile=each) for each in (None, *(levels if task.quantiles else ()))]

        def predict_table(rows):
            labels = rows["regression"].to_numpy()
            if not task.quantiles:
                return {"value": labels}
            return {"value": value(labels), "low": np.quantile(labels, low), "high": np.quantile(labels, high)}

        return SimpleNamespace(predict_table=predict_table, manifest=SimpleNamespace(outputs=outputs))

    return run


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (answering(lambda labels: labels + 1e-9, 0.2, 0.8), "the value is another with quantiles"),
        (answering(lambda labels: labels, 0.8, 0.2), "quantiles cross"),
        (answering(lambda labels: labels, 0.2, 0.6), "0.60 of the labels lie below the quantile 0.8"),
        (answering(lambda labels: labels, 0.2, 0.8, levels=(0.8, 0.2)), "the outputs are the quantiles"),
        (answering(lambda labels: labels, 0.2, 0.8, levels=()), "the outputs are the quantiles"),
    ],
)
def test_quantiles_that_are_none_fail_the_kit(model, words):
    kit = TrainerConformance().test_quantiles_lie_where_they_say_beside_a_value_that_stays_the_same
    trainer = SimpleNamespace(abilities=("quantiles",))
    with pytest.raises(AssertionError, match=words):
        kit(training_rows, trainer, model)
    kit(training_rows, trainer, answering(lambda labels: labels, 0.2, 0.8))


class Penalised(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a ridge, with a space that holds for it."""

    penalty: Annotated[float, msgspec.Meta(gt=0)] = 1.0

    @property
    def search_space(self):
        return {"penalty": {"low": 1e-3, "high": 1e3, "log": True}}


class MisspellsAnOption(Penalised):
    @property
    def search_space(self):
        return {"penality": {"low": 1e-3, "high": 1e3}}


class SuggestsWhatItRefuses(Penalised):
    @property
    def search_space(self):
        return {"penalty": {"low": 0.0, "high": 1.0}}


class SuggestsNoRange(Penalised):
    @property
    def search_space(self):
        return {"penalty": {"low": 2.0, "high": 1.0}}


class FailsFarOut(Ridge):
    def __init__(self, config):
        self.config = config

    def fit(self, *given):
        if self.config.penalty > 100:
            raise ZeroDivisionError
        return super().fit(*given)


class RefusesFarOut(FailsFarOut):
    def fit(self, *given):
        if self.config.penalty > 100:
            raise DataError("the penalty leaves nothing to learn")
        return super().fit(*given)


def of_space(config, built, tmp_path):
    """Run the test of the space that a record suggests."""
    suite = TrainerConformance()
    suite.built = built
    name = "each_point_of_the_space_that_it_suggests_is_taken_and_trains_or_is_refused_in_words"
    getattr(suite, f"test_{name}")(config, training_rows, tmp_path, "regression")


@pytest.mark.parametrize("config", [MisspellsAnOption, SuggestsWhatItRefuses, SuggestsNoRange])
def test_the_kit_catches_a_space_that_the_options_refuse(config, tmp_path):
    with pytest.raises((msgspec.ValidationError, PluginError)):
        of_space(config(), lambda _config: Ridge(), tmp_path)


def test_the_kit_catches_a_trainer_that_breaks_within_its_own_space_and_passes_a_refusal(tmp_path):
    with pytest.raises(ZeroDivisionError):
        of_space(Penalised(), FailsFarOut, tmp_path / "fails")
    of_space(Penalised(), RefusesFarOut, tmp_path / "refuses")
    with pytest.raises(pytest.skip.Exception):
        of_space(None, FailsFarOut, tmp_path)


@pytest.mark.parametrize(
    ("mutant", "test"),
    [
        (IgnoresWeights, "weight"),
        (NamesNoColumn, "refuses"),
        (MeasuresWithoutWeights, "measure"),
        (IgnoresValidation, "valid"),
        (MeasuresTheTrainingRows, "valid"),
        (ReadsPastItsShard, "shard"),
        (ReadsTheShardOfAnother, "shard"),
        (LeavesAShardOut, "shard"),
        (LearnsWhatItDoesNotName, "names"),
        (NamesAnAbilityThatThereIsNot, "names"),
        (NamesOneTaskAsText, "names"),
    ],
)
def test_the_kit_catches(mutant, test, tmp_path):
    with pytest.raises(AssertionError):
        kit(mutant(), tmp_path)[test]()


@pytest.mark.parametrize("test", ["weight", "valid", "measure", "shard", "names", "refuses"])
def test_the_kit_passes_what_heeds_all_of_it(test, tmp_path):
    kit(Sharded(), tmp_path)[test]()
