"""`TrainerConformance`: what every trainer must do, as a test class. A plugin's author subclasses it and overrides one fixture.

class TestAcmeTrainer(TrainerConformance):
    @pytest.fixture
    def trainer(self):
        return AcmeTrainer(rounds=10)
"""
# A test's name is its docstring, and asserting is what it is for.

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
import pytest

from mlopsfw.features.recipe import derived_columns
from mlopsfw.kernel.base.errors import MlopsfwError
from mlopsfw.kernel.config import ProjectConfig
from mlopsfw.kernel.roles.bundle import TASK_OUTPUTS, Runtime
from mlopsfw.kernel.roles.training import Ability, TrainedModel, Trainer, TrainingTask
from mlopsfw.models import bundle
from mlopsfw.models.bundle.loaded import LoadedBundle
from mlopsfw.project.facade import Project
from mlopsfw.testing.interruption import TrainerInterruption, digests
from mlopsfw.testing.labelled_rows import (
    HOSTILE,
    TASKS,
    Rows,
    agreement,
    columns_of,
    contradicted,
    training_rows,
    training_task,
)
from mlopsfw.testing.search_space import points
from mlopsfw.testing.training import Context, RecordedData, Stopped

_LEVELS = (0.2, 0.8)
_NEAR = 0.15  # of a share of labels to a level: no trainer is calibrated

__all__ = ["Context", "RecordedData", "Stopped", "TrainerConformance", "digests", "training_rows", "training_task"]


class TrainerConformance(TrainerInterruption):
    """Conformance of a trainer: its tasks, hostile rows, repeatability, interruption, and a bundle that opens.

    A trainer is tested in the tasks that it names. What it does not name among its abilities it need not heed. An error about
    rows that cannot be learned from names the target, or the column that is at fault.
    """

    @pytest.fixture
    def trainer(self) -> Trainer:
        """Return a trainer, set so that it takes a second or so on a thousand rows. Override this."""
        raise NotImplementedError("override the fixture `trainer`")

    @pytest.fixture
    def config(self) -> Any:
        """Return the record of options that `trainer` is built from, where it suggests a `search_space`. Override it, and `built`."""
        return None

    def built(self, config: Any) -> Trainer:
        """Return a trainer with other options, a record as `config`. Override this beside `config`."""
        raise NotImplementedError("override `built`: return the trainer with these options")

    @pytest.fixture
    def kind(self, trainer: Trainer) -> str:
        """Return the task of those tests that one task suffices for."""
        return next((kind for kind in TASKS if kind in trainer.tasks), "") or pytest.skip(f"it learns none of {TASKS}")

    @pytest.fixture
    def make_rows(self) -> Rows:
        """Return `training_rows`. Override it where the trainer learns from other columns, such as texts alone.

        It is a function of a number of rows and a seed. Its table has the labels `binary`, `multiclass` and `regression` as
        `training_rows` makes them, which follow from the other columns, and nothing else that is to be left out.
        """
        return training_rows

    @pytest.fixture
    def runtimes(self, tmp_path: Path) -> Mapping[str, Runtime]:
        """Return the runtime of ONNX, as a project selects it. Override it where models come in another format."""
        (tmp_path / "project").mkdir()
        with Project(tmp_path / "project", ProjectConfig(name="contract")) as project:
            return {"onnx": project.providers.runtime("onnx")}

    @pytest.fixture
    def train(self, trainer: Trainer, tmp_path: Path) -> Callable[..., TrainedModel]:
        """Return a function that trains: `train(task, rows, valid, kept="checkpoints", stop_at=0)`."""

        def run(
            task: TrainingTask, rows: pl.DataFrame, valid: pl.DataFrame | None = None, kept: str = "", stop_at: int = 0
        ) -> TrainedModel:
            context = Context.under(tmp_path, f"trained-{len(list(tmp_path.iterdir()))}", kept, stop_at)
            checked = RecordedData(valid) if valid is not None and "valid" in trainer.abilities else None
            return trainer.fit(task, RecordedData(rows), checked, context)

        return run

    @pytest.fixture
    def train_and_open(
        self, train: Callable[..., TrainedModel], runtimes: Mapping[str, Runtime], tmp_path: Path
    ) -> Callable[..., LoadedBundle]:
        """Return a function that trains, makes a bundle and opens it: `train_and_open(task, train, valid)`."""

        def run(task: TrainingTask, rows: pl.DataFrame, valid: pl.DataFrame | None = None) -> LoadedBundle:
            folder = tmp_path / f"bundle-{len(list(tmp_path.iterdir()))}"
            bundle.write(folder, train(task, rows, valid), task, RecordedData(rows), runtimes)
            return bundle.open_bundle(folder, runtimes.__getitem__)

        return run

    def test_it_names_its_tasks_and_abilities(self, trainer: Trainer) -> None:
        for names in (trainer.tasks, trainer.abilities):
            assert isinstance(names, Collection)
            assert not isinstance(names, str)
            assert all(isinstance(name, str) for name in names)
        assert trainer.tasks
        assert set(trainer.abilities) <= set(get_args(Ability))

    def test_each_point_of_the_space_that_it_suggests_is_taken_and_trains_or_is_refused_in_words(
        self, config: Any, make_rows: Rows, tmp_path: Path, kind: str
    ) -> None:
        tried = list(points(config))
        if not tried:
            pytest.skip("it suggests no space, or `config` does not say so")
        rows = RecordedData(make_rows(200))
        for number, options in enumerate(tried):
            try:
                context = Context.under(tmp_path, f"point-{number}")
                trained = self.built(options).fit(training_task(kind), rows, None, context)
            except MlopsfwError:
                continue
            assert isinstance(trained, TrainedModel), f"{options} trains no model"

    @pytest.mark.parametrize("kind", TASKS)
    def test_it_learns_what_can_be_learned(
        self, make_rows: Rows, trainer: Trainer, train_and_open: Callable[..., LoadedBundle], kind: str
    ) -> None:
        if kind not in trainer.tasks:
            pytest.skip(f"it learns no {kind} models")
        rows, later = make_rows(1200), make_rows(1200, seed=1)
        loaded = train_and_open(training_task(kind), rows[:1000], rows[1000:])
        found = loaded.predict_table(later)[TASK_OUTPUTS[kind]]
        assert loaded.manifest.outputs[0].name == TASK_OUTPUTS[kind]
        if kind == "binary":
            assert loaded.manifest.classes == (False, True)
            assert found.shape == (later.height,)
            assert ((found >= 0) & (found <= 1)).all()
        elif kind == "multiclass":
            assert loaded.manifest.classes == ("high", "low", "middle")
            assert np.allclose(found.sum(axis=1), 1.0, atol=1e-5)
        least = {"binary": 0.8, "multiclass": 0.6, "regression": 0.7}
        reached = agreement(kind, later[kind], found)
        assert reached > least[kind], (
            f"answers agree by {reached:.2f} with the labels of other rows, not by {least[kind]}"
        )

    def test_a_derived_column_is_made_by_the_model_and_not_asked_for(
        self, make_rows: Rows, trainer: Trainer, train_and_open: Callable[..., LoadedBundle], kind: str
    ) -> None:
        if "derived" not in trainer.abilities:
            pytest.skip("it learns from the columns of the table alone")
        rows = make_rows(400)
        if not {"number", "color", "count"} <= set(rows.columns):
            pytest.skip("its rows lack the columns that others are derived from: number, color and count")
        derived = derived_columns({"twice": "number * 2", "capital": "color.str.to_uppercase()"}, rows.schema, {})
        task = training_task(kind, features=("twice", "capital", "count"), derived=derived)
        loaded = train_and_open(task, rows)
        assert {column.name for column in loaded.manifest.inputs} == {"number", "color", "count"}
        assert loaded.plan is not None
        assert loaded.plan.derived == derived

    def test_quantiles_lie_where_they_say_beside_a_value_that_stays_the_same(
        self, make_rows: Rows, trainer: Trainer, train_and_open: Callable[..., LoadedBundle]
    ) -> None:
        if "quantiles" not in trainer.abilities:
            pytest.skip("it learns no quantiles")
        rows, later = make_rows(1200), make_rows(1200, seed=1)
        alone, beside = (
            train_and_open(training_task("regression", quantiles=levels), rows[:1000], rows[1000:])
            for levels in ((), _LEVELS)
        )
        declared = [output.quantile for output in beside.manifest.outputs]
        assert declared == [None, *_LEVELS], f"the outputs are the quantiles {declared}"
        value, low, high = beside.predict_table(later).values()
        assert np.array_equal(value, alone.predict_table(later)["value"]), "the value is another with quantiles"
        assert (low <= high).all(), "quantiles cross"
        for level, answer in zip(_LEVELS, (low, high), strict=True):
            share = float((later["regression"].to_numpy() <= answer).mean())
            assert abs(share - level) < _NEAR, f"{share:.2f} of the labels lie below the quantile {level}"

    def test_equal_inputs_give_equal_files(
        self, make_rows: Rows, train: Callable[..., TrainedModel], kind: str
    ) -> None:
        rows, task = make_rows(400), training_task(kind)
        assert digests(train(task, rows, rows)) == digests(train(task, rows, rows)), "the files of two trainings differ"

    def test_another_seed_gives_another_model(
        self, make_rows: Rows, trainer: Trainer, train: Callable[..., TrainedModel], kind: str
    ) -> None:
        if "seed" not in trainer.abilities:
            pytest.skip("nothing in it is random")
        rows = make_rows(400)
        assert digests(train(training_task(kind), rows)) != digests(train(training_task(kind, seed=4), rows))

    def test_weights_of_rows_count(
        self, make_rows: Rows, trainer: Trainer, train_and_open: Callable[..., LoadedBundle], kind: str
    ) -> None:
        if "weight" not in trainer.abilities:
            pytest.skip("it takes no weights")
        rows, later = make_rows(800), make_rows(seed=1)
        found = []
        for right, wrong in ((1.0, 1e-3), (1e-3, 1.0)):
            both = [rows.with_columns(w=right), contradicted(rows, kind).with_columns(w=wrong)]
            loaded = train_and_open(training_task(kind, weight="w"), pl.concat(both))
            found.append(agreement(kind, later[kind], loaded.predict_table(later)[TASK_OUTPUTS[kind]]))
        assert found[0] > found[1] + 0.3, "rows of weight 1 teach no more than rows of weight 0.001"

    def test_validation_rows_are_measured(
        self, make_rows: Rows, trainer: Trainer, train: Callable[..., TrainedModel], kind: str
    ) -> None:
        if "valid" not in trainer.abilities:
            pytest.skip("it takes no validation rows")
        rows, valid = make_rows(600), make_rows(300, seed=1)
        measured = [
            {
                name: value
                for name, value in train(training_task(kind), rows, checked).metrics.items()
                if "valid" in name
            }
            for checked in (None, valid, contradicted(valid, kind))
        ]
        assert not measured[0], "a metric `valid_…` without validation rows"
        assert measured[1], "no metric is called `valid_…`"
        assert measured[1] != measured[2], "other labels of validation rows give equal metrics `valid_…`"

    def test_weights_of_rows_count_in_what_is_measured(
        self, make_rows: Rows, trainer: Trainer, train: Callable[..., TrainedModel], kind: str
    ) -> None:
        if not {"weight", "valid"} <= set(trainer.abilities):
            pytest.skip("it takes no weights, or no validation rows")
        rows, valid = make_rows(600).with_columns(w=1.0), make_rows(300, seed=1).with_columns(w=1.0)
        with_others = pl.concat([valid, contradicted(valid, kind).with_columns(w=0.0)])
        alone, both = (
            train(training_task(kind, weight="w"), rows, checked).metrics for checked in (valid, with_others)
        )
        assert both == pytest.approx(alone, rel=1e-3, abs=1e-3), "rows of weight 0 change the metrics `valid_…`"

    def test_an_epoch_read_in_shards_reads_each_shard_once(
        self, make_rows: Rows, trainer: Trainer, tmp_path: Path, kind: str
    ) -> None:
        rows = RecordedData(make_rows(600), tmp_path / "readings.jsonl")
        trainer.fit(training_task(kind), rows, None, Context.under(tmp_path, "sharded"))
        epochs: dict[tuple[int | None, int], list[tuple[int, int]]] = {}
        for each in rows.readings():
            epochs.setdefault((each["seed"], each["epoch"]), []).append(tuple(each["shard"]))
        for shards in epochs.values():
            of = max(of for _, of in shards)
            assert of == 1 or sorted(shards) == [(rank, of) for rank in range(of)]

    def test_metrics_and_progress_are_told(self, make_rows: Rows, trainer: Trainer, tmp_path: Path, kind: str) -> None:
        context = Context.under(tmp_path, "told")
        rows = RecordedData(make_rows(400))
        trained = trainer.fit(training_task(kind), rows, rows if "valid" in trainer.abilities else None, context)
        assert context.metrics, "`context.log_metric` was never called"
        assert all(np.isfinite(value) for _, value, _ in context.metrics)
        assert context.shares, "`context.progress` was never called"
        assert all(0 <= share <= 1 for share in context.shares)
        assert all(np.isfinite(value) for value in trained.metrics.values())

    def test_infinities_and_extremes_do_no_harm(
        self, make_rows: Rows, train_and_open: Callable[..., LoadedBundle], kind: str
    ) -> None:
        rows = make_rows(400)
        floats = columns_of(rows, pl.Float64)
        if not floats:
            pytest.skip("its rows have no floats")
        rows = rows.with_columns(
            pl.when(pl.int_range(pl.len()) % 50 == 0).then(float("inf")).otherwise(floats[0]).alias(floats[0]),
            *(
                pl.when(pl.int_range(pl.len()) % 2 == 0).then(1e300).otherwise(-1e300).alias(name)
                for name in floats[1:][-1:]
            ),
        )
        assert np.isfinite(train_and_open(training_task(kind), rows).predict_table(rows)[TASK_OUTPUTS[kind]]).all()

    def test_rows_without_a_label_are_not_learned_from(
        self, make_rows: Rows, train_and_open: Callable[..., LoadedBundle], kind: str
    ) -> None:
        rows = make_rows(400)
        half = rows.with_columns(pl.when(pl.int_range(pl.len()) < 200).then(kind).alias(kind))
        with_nulls = train_and_open(training_task(kind), half).predict_table(rows)[TASK_OUTPUTS[kind]]
        without = train_and_open(training_task(kind), rows[:200]).predict_table(rows)[TASK_OUTPUTS[kind]]
        assert np.array_equal(with_nulls, without)

    @pytest.mark.parametrize("case", HOSTILE)
    def test_rows_that_cannot_be_learned_from_are_refused(
        self, make_rows: Rows, train: Callable[..., TrainedModel], kind: str, case: str
    ) -> None:
        if "class" in case and kind == "regression":
            pytest.skip("it learns numbers")
        rows = make_rows(100)
        with pytest.raises(MlopsfwError) as caught:
            train(training_task(kind), HOSTILE[case](rows, kind))
        named = columns_of(rows)[0] if case == "a list column" else kind
        assert named in caught.value.message, f"the error does not name the column {named!r}: {caught.value.message}"
