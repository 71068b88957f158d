"""`TrainerConformance`: what every trainer must do, as a test class. A plugin's author subclasses it and overrides one fixture.

class TestAcmeTrainer(TrainerConformance):
    @pytest.fixture
    def trainer(self):
        return AcmeTrainer(rounds=10)
"""
# A test's name is its docstring, and asserting is what it is for.

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlopsfw.features.recipe import derived_columns
from mlopsfw.kernel.base.errors import MlopsfwError
from mlopsfw.kernel.config import ProjectConfig
from mlopsfw.kernel.roles.bundle import Runtime
from mlopsfw.kernel.roles.training import TrainedModel, Trainer, TrainingTask
from mlopsfw.models import bundle
from mlopsfw.models.bundle.loaded import LoadedBundle
from mlopsfw.models.evaluation import auc
from mlopsfw.project.facade import Project

TASKS = ("binary", "multiclass", "regression")
OUTPUTS = {"binary": "probability", "multiclass": "probabilities", "regression": "value"}


class Stopped(BaseException):
    """The training was stopped from outside."""


@dataclass
class Context:
    """A training context in a folder. Raises `Stopped` at the `stop_at`-th metric, as a Ctrl-C would."""

    scratch: Path
    checkpoints: Path
    stop_at: int = 0
    metrics: list[tuple[str, float, int | None]] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)

    @classmethod
    def under(cls, folder: Path, name: str, checkpoints: str = "", stop_at: int = 0) -> Context:
        """Make one with folders under `folder`."""
        scratch, kept = folder / name / "scratch", folder / (checkpoints or f"{name}/checkpoints")
        scratch.mkdir(parents=True)
        kept.mkdir(parents=True, exist_ok=True)
        return cls(scratch, kept, stop_at)

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        """Keep the metric, or stop."""
        self.metrics.append((name, float(value), step))
        if len(self.metrics) == self.stop_at:
            raise Stopped

    def progress(self, _phase: str, share: float) -> None:
        """Keep the share."""
        self.shares.append(share)


def training_rows(rows: int = 1200, seed: int = 0) -> pl.DataFrame:
    """Return rows of every type that a request can hold, with labels for each task that hang on them."""
    draw = np.random.default_rng(seed)
    number, count = draw.normal(50, 20, rows), draw.integers(0, 24, rows)
    color = draw.choice(["red", "green", "blue"], rows)
    signal = (number - 50) / 20 + (color == "red") * 2.0 - (count > 12) + draw.normal(0, 0.5, rows)
    start = np.datetime64("2013-01-01T00:00:00", "us")
    frame = pl.DataFrame(
        {
            "number": number,
            "count": count,
            "color": color,
            "code": [f"N{value}" for value in draw.integers(0, 300, rows)],
            "flag": draw.random(rows) < 0.5,
            "moment": start + draw.integers(0, 90 * 86400, rows) * np.timedelta64(1_000_000, "us"),
            "constant": np.ones(rows),
            "binary": signal > 0,
            "multiclass": np.array(["low", "middle", "high"])[np.digitize(signal, [-1.0, 1.0])],
            "regression": signal * 10 + 100,
        }
    )
    gone = pl.Series(draw.random(rows) < 0.1)
    empty = pl.lit(None)
    return frame.with_columns(
        pl.when(gone).then(empty).otherwise("number").alias("number"),
        pl.when(gone.shift(1, fill_value=False)).then(empty).otherwise("color").alias("color"),
    ).with_columns(day=pl.col("moment").dt.date())


def training_task(kind: str, **more: object) -> TrainingTask:
    """Return the task of learning one of the labels of `training_rows`."""
    others = tuple(name for name in TASKS if name != kind)
    return TrainingTask(task=kind, target=kind, exclude=others, seed=3, **more)  # type: ignore[arg-type]


def digests(trained: TrainedModel) -> dict[str, str]:
    """Return the digest of each file of a trained model, and of its plan."""
    found = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in trained.files.items()}
    return {**found, "plan": hashlib.sha256(trained.plan).hexdigest()}


class TrainerConformance:
    """Conformance of a trainer: tasks, hostile rows, repeatability, going on after an interruption, and a bundle that opens."""

    @pytest.fixture
    def trainer(self) -> Trainer:
        """Return a trainer, set so that it takes a second or so on a thousand rows. Override this."""
        raise NotImplementedError("override the fixture `trainer`")

    @pytest.fixture
    def runtimes(self, tmp_path: Path) -> Mapping[str, Runtime]:
        """Return the runtime of ONNX, as a project selects it. Override it where models come in another format."""
        (tmp_path / "project").mkdir()
        with Project(tmp_path / "project", ProjectConfig(name="contract")) as project:
            return {"onnx": project.providers.runtime("onnx")}

    @pytest.fixture
    def train_and_open(
        self, trainer: Trainer, runtimes: Mapping[str, Runtime], tmp_path: Path
    ) -> Callable[..., LoadedBundle]:
        """Return a function that trains, makes a bundle and opens it: `train_and_open(task, train, valid)`."""

        def run(task: TrainingTask, train: pl.DataFrame, valid: pl.DataFrame | None = None) -> LoadedBundle:
            context = Context.under(tmp_path, f"opened-{len(list(tmp_path.iterdir()))}")
            table = None if valid is None else valid.to_arrow()
            trained = trainer.fit(task, train.to_arrow(), table, context)
            folder = context.scratch / "bundle"
            bundle.write(folder, trained, task, train.to_arrow(), runtimes)
            return bundle.open_bundle(folder, runtimes.__getitem__)

        return run

    @pytest.mark.parametrize("kind", TASKS)
    def test_it_learns_what_can_be_learned(self, train_and_open: Callable[..., LoadedBundle], kind: str) -> None:
        rows, later = training_rows(), training_rows(seed=1)
        loaded = train_and_open(training_task(kind), rows[:1000], rows[1000:])
        found = loaded.predict_table(later)[OUTPUTS[kind]]
        assert loaded.manifest.outputs == (OUTPUTS[kind],)
        if kind == "binary":
            assert loaded.manifest.classes == (False, True)
            assert found.shape == (1200,)
            assert ((found >= 0) & (found <= 1)).all()
            assert auc(later[kind].to_numpy(), found) > 0.8
        elif kind == "multiclass":
            assert loaded.manifest.classes == ("high", "low", "middle")
            assert np.allclose(found.sum(axis=1), 1.0, atol=1e-5)
            assert (np.array(loaded.manifest.classes)[found.argmax(axis=1)] == later[kind].to_numpy()).mean() > 0.6
        else:
            assert np.corrcoef(found, later[kind].to_numpy())[0, 1] > 0.7

    def test_a_derived_column_is_made_by_the_model_and_not_asked_for(
        self, train_and_open: Callable[..., LoadedBundle]
    ) -> None:
        rows = training_rows(400)
        derived = derived_columns({"twice": "number * 2", "capital": "color.str.to_uppercase()"}, rows.schema, {})
        task = training_task("binary", features=("twice", "capital", "count"), derived=derived)
        loaded = train_and_open(task, rows)
        assert {column.name for column in loaded.manifest.inputs} == {"number", "color", "count"}
        assert loaded.plan.derived == derived

    def test_equal_inputs_give_equal_files(self, trainer: Trainer, tmp_path: Path) -> None:
        rows, task = training_rows(400).to_arrow(), training_task("binary")
        first, second = (trainer.fit(task, rows, rows, Context.under(tmp_path, name)) for name in ("first", "second"))
        assert digests(first) == digests(second)

    def test_another_seed_gives_another_model(self, trainer: Trainer, tmp_path: Path) -> None:
        rows = training_rows(400).to_arrow()
        other = TrainingTask(task="binary", target="binary", exclude=("multiclass", "regression"), seed=4)
        first = trainer.fit(training_task("binary"), rows, None, Context.under(tmp_path, "first"))
        assert digests(first) != digests(trainer.fit(other, rows, None, Context.under(tmp_path, "second")))

    def test_stopped_anywhere_it_goes_on_to_the_same_result(self, trainer: Trainer, tmp_path: Path) -> None:
        rows, task = training_rows(600), training_task("binary")
        train, valid = rows[:500].to_arrow(), rows[500:].to_arrow()
        straight = Context.under(tmp_path, "straight")
        whole = trainer.fit(task, train, valid, straight)
        for stop in {1, max(1, len(straight.metrics) // 2), len(straight.metrics)}:
            kept = f"kept-{stop}"
            with pytest.raises(Stopped):
                trainer.fit(task, train, valid, Context.under(tmp_path, f"stopped-{stop}", kept, stop))
            again = trainer.fit(task, train, valid, Context.under(tmp_path, f"again-{stop}", kept))
            assert digests(again) == digests(whole)
            assert again.metrics == whole.metrics

    def test_damaged_checkpoints_are_passed_over(self, trainer: Trainer, tmp_path: Path) -> None:
        rows, task = training_rows(400).to_arrow(), training_task("binary")
        whole = trainer.fit(task, rows, None, Context.under(tmp_path, "first", "kept"))
        for file in (tmp_path / "kept").rglob("*"):
            if file.is_file():
                file.write_bytes(file.read_bytes()[:-1] + b"?")
        assert digests(trainer.fit(task, rows, None, Context.under(tmp_path, "second", "kept"))) == digests(whole)

    def test_checkpoints_of_other_rows_are_passed_over(self, trainer: Trainer, tmp_path: Path) -> None:
        task, rows = training_task("binary"), training_rows(400).to_arrow()
        trainer.fit(task, training_rows(400, seed=9).to_arrow(), None, Context.under(tmp_path, "other", "kept"))
        straight = trainer.fit(task, rows, None, Context.under(tmp_path, "straight"))
        assert digests(trainer.fit(task, rows, None, Context.under(tmp_path, "mine", "kept"))) == digests(straight)

    def test_metrics_and_progress_are_told(self, trainer: Trainer, tmp_path: Path) -> None:
        context = Context.under(tmp_path, "told")
        rows = training_rows(400).to_arrow()
        trained = trainer.fit(training_task("binary"), rows, rows, context)
        assert context.metrics
        assert all(np.isfinite(value) for _, value, _ in context.metrics)
        assert context.shares
        assert all(0 <= share <= 1 for share in context.shares)
        assert all(np.isfinite(value) for value in trained.metrics.values())

    def test_infinities_and_extremes_do_no_harm(self, train_and_open: Callable[..., LoadedBundle]) -> None:
        rows = training_rows(400).with_columns(
            number=pl.when(pl.int_range(pl.len()) % 50 == 0).then(float("inf")).otherwise("number"),
            constant=pl.when(pl.int_range(pl.len()) % 2 == 0).then(1e300).otherwise(-1e300),
        )
        assert np.isfinite(train_and_open(training_task("binary"), rows).predict_table(rows)["probability"]).all()

    def test_rows_without_a_label_are_not_learned_from(self, train_and_open: Callable[..., LoadedBundle]) -> None:
        rows = training_rows(400)
        half = rows.with_columns(binary=pl.when(pl.int_range(pl.len()) < 200).then("binary"))
        with_nulls = train_and_open(training_task("binary"), half).predict_table(rows)["probability"]
        without = train_and_open(training_task("binary"), rows[:200]).predict_table(rows)["probability"]
        assert np.array_equal(with_nulls, without)

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (lambda rows: rows.drop("binary"), "binary"),
            (lambda rows: rows.with_columns(binary=pl.lit(None, dtype=pl.Boolean)), "label"),
            (lambda rows: rows.with_columns(binary=pl.lit(value=True)), "classes"),
            (lambda rows: rows.with_columns(binary=pl.col("regression")), "classes"),
            (lambda rows: rows.with_columns(number=pl.lit([1, 2])), "number"),
            (lambda rows: rows[:0], "label"),
        ],
        ids=["no target", "no labels", "one class", "numbers for classes", "a list column", "no rows"],
    )
    def test_rows_that_cannot_be_learned_from_are_refused(
        self, trainer: Trainer, tmp_path: Path, change: Callable[[pl.DataFrame], pl.DataFrame], why: str
    ) -> None:
        with pytest.raises(MlopsfwError, match=why):
            trainer.fit(
                training_task("binary"), change(training_rows(100)).to_arrow(), None, Context.under(tmp_path, "a")
            )
