"""Cross-fitting: each row with a label is answered by a model that did not learn from it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

import numpy as np

from mlopsfw.capturelog.classes import class_codes
from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.features.labels import check_weights, classes_of, labelled, numbers
from mlopsfw.kernel.base.errors import DataError, UsageError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.training.folds import rows_at

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.capturelog.classes import Class
    from mlopsfw.kernel.roles.engine import Launcher
    from mlopsfw.kernel.roles.training import TrainedModel, Trainer, TrainingContext, TrainingData, TrainingTask
    from mlopsfw.models.bundle.loaded import LoadedBundle
    from mlopsfw.models.metrics import MetricSet

TASKS = ("binary", "multiclass", "regression")


class Subject(NamedTuple):
    """The rows with a label, and what is to be learned of them.

    Args:
        data: The rows; a position counts these.
        task: What to learn.
        classes: The label values in order; empty for regression.
        labels: int64 codes in that order, or float64.
        weights: float64, or None where all rows weigh alike.
    """

    data: TrainingData
    task: TrainingTask
    classes: tuple[Class, ...]
    labels: np.ndarray
    weights: np.ndarray | None

    @classmethod
    def of(cls, data: TrainingData, task: TrainingTask) -> Self:
        """Return the rows of a handle that have a label.

        Raises:
            DataError: None has one, the labels are all alike, or they do not suit the task.
            UsageError: The task is none of binary, multiclass and regression.
        """
        if task.task not in TASKS:
            raise UsageError(f"the task {task.task!r} cannot be validated", hint=f"Those that can: {', '.join(TASKS)}.")
        rows = labelled(data, task, "given")
        small = rows.select(*dict.fromkeys(filter(None, (task.target, task.weight)))).collect()
        if not small.height:
            raise DataError(f"none of the {data.rows} given rows has a label in {task.target!r}")
        if small[task.target].n_unique() == 1:
            value = small[task.target][0]
            raise DataError(f"every row has the label {value!r} in {task.target!r}: there is nothing to learn")
        classes = () if task.task == "regression" else classes_of(small[task.target], task.task)
        labels = class_codes(small[task.target], classes) if classes else numbers(small[task.target])
        weights = check_weights(small[task.weight]) if task.weight else None
        return cls(TableHandle(rows, small.height, data.digest), task, classes, labels, weights)

    def frame(self, columns: Collection[str]) -> pl.DataFrame:
        """Return columns of all rows. Raise `DataError` for one that there is not."""
        there = self.data.schema.names
        for name in columns:
            if name not in there:
                raise DataError(f"the rows have no column {name!r}", hint=nearest(name, there))
        frame: pl.DataFrame = self.data.lazy().select(list(columns)).collect()
        return frame


class TryOut(Protocol):
    """Loads what a trainer made, to score rows with: `BundleStore`."""

    def try_out(self, folder: Path, trained: TrainedModel, task: TrainingTask) -> LoadedBundle:
        """Return a trained model loaded from `folder`."""
        ...


@dataclass(frozen=True)
class FitContext:
    """The context of one fit among several: its own folders, and its name before each metric.

    Args:
        whole: The context of all.
        name: Of this one, such as `fold1`.
    """

    whole: TrainingContext
    name: str

    @property
    def scratch(self) -> Path:
        """A folder of this fit."""
        return self._folder(self.whole.scratch)

    @property
    def checkpoints(self) -> Path:
        """A folder that is kept between attempts of this fit."""
        return self._folder(self.whole.checkpoints)

    @property
    def launcher(self) -> Launcher | None:
        """The launcher of all."""
        return self.whole.launcher

    def _folder(self, above: Path) -> Path:
        folder = above / self.name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def log_metric(self, name: str, value: float, step: float | None = None) -> None:
        """Record a metric of this fit."""
        self.whole.log_metric(f"{self.name}.{name}", value, step)

    def progress(self, phase: str, share: float) -> None:
        """Tell how far this fit is."""
        self.whole.progress(f"{self.name}: {phase}", share)


def fit_rows(
    subject: Subject, train: np.ndarray, name: str, *, trainer: Trainer, bundles: TryOut, context: TrainingContext
) -> LoadedBundle:
    """Train on the rows at ascending positions; return the model, loaded as a server loads it.

    Args:
        subject: All rows.
        train: int64 positions.
        name: Of this fit, such as `fold1`.
        trainer: Learns the model.
        bundles: Loads it.
        context: Of the whole validation.

    Raises:
        DataError: The rows have labels of one class only, or the trainer refuses them; the message names the fit.
    """
    check_classes(subject, train, name)
    own = FitContext(context, name)
    rows = rows_at(subject.data, train, own.scratch / "rows.arrow")
    try:
        trained = trainer.fit(subject.task, rows, None, own)
    except DataError as error:
        named = DataError(f"{name}: {error.message}", hint=error.hint)
        named.__notes__ = getattr(error, "__notes__", [])  # which plugin raised it
        raise named from error
    return bundles.try_out(own.scratch / "model", trained, subject.task)


def check_classes(subject: Subject, train: np.ndarray, name: str) -> None:
    """Raise `DataError` where the rows at `train` have labels of one class only; `name` is the fit's."""
    if not subject.classes or len(np.unique(subject.labels[train])) > 1:
        return
    only = subject.classes[int(subject.labels[train[0]])]
    hint = 'Write fewer folds, or folds = { by = "stratified" } for rows without an event time.'
    raise DataError(f"{name}: each of its {len(train)} training rows has the label {only!r}", hint=hint)


def answers(model: LoadedBundle, subject: Subject, at: np.ndarray) -> dict[str, np.ndarray]:
    """Return the outputs of a model for the rows at ascending positions, with a probability of each class of all rows.

    A class that the model has not seen gets probability 0.
    """
    outputs = dict(model.predict_table(rows_at(subject.data, at, Path()).lazy().collect()))
    main = model.manifest.outputs[0].name
    if subject.task.task == "multiclass" and model.manifest.classes != subject.classes:
        places = [subject.classes.index(each) for each in model.manifest.classes]
        widened = np.zeros((len(at), len(subject.classes)))
        widened[:, places] = outputs[main]
        outputs[main] = widened
    return {main: outputs.pop(main), **outputs}


class Judged(NamedTuple):
    """Rows, each with the answer of a model that did not learn from it. All arrays are in one order, fold after fold.

    Args:
        at: int64 positions among the rows with a label.
        fold: int64, from 0.
        labels: int64 codes of classes, or float64.
        outputs: Output → values, the main one first.
        weights: float64, or None where all rows weigh alike.
    """

    at: np.ndarray
    fold: np.ndarray
    labels: np.ndarray
    outputs: Mapping[str, np.ndarray]
    weights: np.ndarray | None

    @property
    def main(self) -> np.ndarray:
        """The answer that the task asks for."""
        return next(iter(self.outputs.values()))

    def where(self, chosen: np.ndarray) -> Judged:
        """Return the rows at an index or where a mask is true."""
        outputs = {name: values[chosen] for name, values in self.outputs.items()}
        weights = None if self.weights is None else self.weights[chosen]
        return Judged(self.at[chosen], self.fold[chosen], self.labels[chosen], outputs, weights)

    def by_fold(
        self, metrics: MetricSet, task: str, times: np.ndarray | None = None, only: Collection[str] | None = None
    ) -> list[dict[str, float]]:
        """Return the metrics of each fold; those undefined on its rows are left out.

        Args:
            metrics: The project's.
            task: Whose metrics.
            times: How often each row counts, float64; None for once.
            only: The metrics to compute; by default all of the task.
        """
        rows, weights = self, self.weights
        if times is not None:
            weights = times if weights is None else times * weights
            rows, weights = self.where(weights > 0), weights[weights > 0]
        values = []
        for number in range(int(self.fold.max(initial=-1)) + 1):
            own = np.flatnonzero(rows.fold == number)
            part, weight = rows.where(own), None if weights is None else weights[own]
            counted = len(own) and (weight is None or weight.any())
            values.append(metrics.evaluate(task, part.labels, part.outputs, weight, only=only) if counted else {})
        return values

    def mean(
        self, metrics: MetricSet, task: str, times: np.ndarray | None = None, only: Collection[str] | None = None
    ) -> dict[str, float]:
        """Return the mean of each metric over the folds in which it is defined; arguments as for `by_fold`."""
        found = self.by_fold(metrics, task, times, only)
        names = dict.fromkeys(name for each in found for name in each)
        return {name: float(np.mean([each[name] for each in found if name in each])) for name in names}


def judged_by(subject: Subject, model: LoadedBundle, at: np.ndarray) -> Judged:
    """Return the rows at ascending positions with the answers of a model."""
    weights = None if subject.weights is None else subject.weights[at]
    return Judged(at, np.zeros(len(at), dtype=np.int64), subject.labels[at], answers(model, subject, at), weights)


def joined(parts: Sequence[Judged]) -> Judged:
    """Return the rows of several folds as one."""
    outputs = {name: np.concatenate([part.outputs[name] for part in parts]) for name in parts[0].outputs}
    weights = [part.weights for part in parts if part.weights is not None]
    at, fold, labels = (np.concatenate([getattr(part, name) for part in parts]) for name in ("at", "fold", "labels"))
    return Judged(at, fold, labels, outputs, np.concatenate(weights) if weights else None)
