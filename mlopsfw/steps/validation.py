"""A validation: the options of the step `validate`, and the rows and folds that they make of its input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec

from mlopsfw.steps.training_params import TrainParams
from mlopsfw.training.folds import Folds
from mlopsfw.training.search.space import check_distinct

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.models.metrics import MetricSet
    from mlopsfw.training.crossfit import Subject
    from mlopsfw.training.folds import Fold


class ValidateParams(TrainParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.validate]`: what the step `train` takes, and how to judge what it would make.

    Args:
        folds: How the rows are divided.
        against: Other trainers to compare with on the same folds.
        metric: The metric of comparisons and warnings; by default AUC for binary, log loss for multiclass, RMSE for regression.
        segments: Columns whose values define segments with metrics of their own.
        min_rows: The fewest rows of a reported segment, and in each half of a searched slice.
        slices: Whether to search for parts of the rows where the model is worse.
        learning_curve: Whether to train once more on half of the rows, to see if more rows would help.
        parallel: Models that are trained side by side; 0 for as many as the engine has slots.
    """

    folds: Folds = Folds()
    against: tuple[str, ...] = ()
    metric: str = ""
    segments: tuple[str, ...] = ()
    min_rows: Annotated[int, msgspec.Meta(ge=1)] = 30
    slices: bool = True
    learning_curve: bool = True
    parallel: Annotated[int, msgspec.Meta(ge=0)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.folds.check("folds")
        check_distinct(self.against, "against")


class Validation(NamedTuple):
    """One validation under way.

    Args:
        params: The step's options.
        subject: The rows with a label.
        rows: Those of their columns that the report looks at.
        folds: Of the rows.
        metrics: The project's.
    """

    params: ValidateParams
    subject: Subject
    rows: pl.DataFrame
    folds: list[Fold]
    metrics: MetricSet

    @property
    def metric(self) -> str:
        """The metric of comparisons and warnings."""
        return self.params.metric or self.metrics.primary(self.subject.task.task)

    @property
    def features(self) -> list[str]:
        """The columns to learn from that are in the table."""
        from mlopsfw.features.fit import learned_columns

        task, there = self.subject.task, self.subject.data.schema.names
        names = learned_columns([*there, *(each.name for each in task.derived)], task)
        return [name for name in names if name in there and name != self.params.folds.label_time]
