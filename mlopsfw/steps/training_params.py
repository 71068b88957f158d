"""The options of the steps that train, and the task that they make of them for a trainer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from mlopsfw.kernel.base.errors import ConfigError, DataError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.roles.bundle import TASK_OUTPUTS
from mlopsfw.kernel.roles.training import TrainingTask
from mlopsfw.training.search.settings import Tune
from mlopsfw.training.search.space import FEATURES

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.derived import Derived
    from mlopsfw.kernel.roles.training import TrainingData
    from mlopsfw.pipeline.graph.step import StepContext
    from mlopsfw.privacy.marks import Privacy

_PAIR = 2


class TrainParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.train]`. `[trainer]` configures the training itself.

    Args:
        trainer: The name of the trainer; by default the project's `[trainer]`.
        task: `binary`, `multiclass`, `regression`, or another word that the trainer knows.
        target: The label's column. A task of a plugin's own may have none: "".
        features: Columns to learn from; by default all but the target, `exclude`, `time` and `weight`.
        exclude: Columns never to learn from: identifiers, and columns known only after the label. One may be absent, but not misspelt.
        time: The event-time column, if there is one.
        weight: A column of sample weights.
        seed: Seeds everything random.
        quantiles: Of a regression: two levels, such as [0.05, 0.95]. The model answers with these quantiles of the target beside the
            value, which stays the same. `calibrate` makes intervals of them.
        options: Per column: `kind` (`number`, `category`), `buckets`, `bins`, `pii`.
        derive: Columns that the model computes from each row, in training and in serving: name → expression in Polars' notation.
        lookup: Inputs of this step that `derive` can look values up in; they become part of the model. Name → key column.
    """

    task: Annotated[str, msgspec.Meta(min_length=1)]
    target: str
    features: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    time: str = ""
    weight: str = ""
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0
    quantiles: tuple[Annotated[float, msgspec.Meta(gt=0, lt=1)], ...] = ()
    options: dict[str, dict[str, Any]] = {}
    derive: dict[str, str] = {}
    lookup: dict[str, str] = {}
    trainer: str = ""

    def __post_init__(self) -> None:
        if not self.target and self.task in TASK_OUTPUTS:
            raise ConfigError(f"a {self.task} model needs a target", key="target", hint="Name the column of the label.")
        for key in ("time", "weight"):
            if self.target and getattr(self, key) == self.target:
                raise ConfigError(f"{self.target!r} is the target", key=key, hint="Name another column.")
        _check_columns(self, self.features, "features")
        _check_quantiles(self)


class FitParams(TrainParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.train]`, with the search for what to train.

    Args:
        tune: The search for the best trainer and its options; the winner then learns from all rows.
    """

    tune: Tune | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for columns in self.tune.sets if self.tune else ():
            _check_columns(self, columns, f"tune.space.{FEATURES}")


def _check_columns(params: TrainParams, names: Sequence[str], key: str) -> None:
    """Raise `ConfigError` where columns to learn from hold the target, a column that is excluded, or one of them twice."""
    for name in names:
        if name == params.target:
            raise ConfigError(f"the target {name!r} is among the features", key=key, hint="Leave it out.")
        if name in params.exclude:
            raise ConfigError(f"{name!r} is in `exclude`, too", key=key, hint="Leave it out of one of them.")
    if len(set(names)) < len(names):
        twice = next(name for at, name in enumerate(names) if name in names[:at])
        raise ConfigError(f"it has {twice!r} twice", key=key, hint="Leave it out once.")


def _check_quantiles(params: TrainParams) -> None:
    """Raise `ConfigError` unless quantiles are a lower and an upper level, of a regression."""
    if params.quantiles and params.task != "regression":
        hint = "Remove it: `calibrate` makes sets of classes without."
        raise ConfigError(f"a {params.task} model has no quantiles", key="quantiles", hint=hint)
    if params.quantiles and (len(params.quantiles) != _PAIR or params.quantiles[0] >= params.quantiles[1]):
        message = f"{list(params.quantiles)} is no pair of a lower and an upper level"
        raise ConfigError(message, key="quantiles", hint="Write quantiles = [0.05, 0.95].")


def training_task(params: TrainParams, context: StepContext, privacy: Privacy, rows: TrainingData) -> TrainingTask:
    """Return what a step that trains is to learn from `rows`. Raise `DataError` for a column to exclude that looks misspelt."""
    for name in sorted(
        {*params.exclude} - {*rows.schema.names}
    ):  # which may be absent: another step may have dropped it
        if (hint := nearest(name, {*rows.schema.names} - {*params.exclude})).startswith("Did"):
            raise DataError(f"exclude: the rows have no column {name!r}", hint=f"{hint} Else leave it out.")
    plain = [name for name in TrainingTask.__struct_fields__ if name not in ("options", "derived")]
    return TrainingTask(
        **{name: getattr(params, name) for name in plain},
        options=_options(privacy, params),
        derived=_derived(privacy, context, params, rows),
    )


def _options(privacy: Privacy, params: TrainParams) -> dict[str, dict[str, Any]]:
    """Return the options of columns. The bundle holds no value of a column that a dataset marks as personal."""
    personal = {name: {"pii": True} for name in privacy.everywhere if name != params.target}
    return {**personal, **{name: {**personal.get(name, {}), **own} for name, own in params.options.items()}}


def _derived(privacy: Privacy, context: StepContext, params: TrainParams, train: TrainingData) -> tuple[Derived, ...]:
    if not params.derive:
        return ()
    import polars as pl

    from mlopsfw.features.recipe import LookupTable, derived_columns

    personal = privacy.everywhere
    tables = {
        name: LookupTable(name, context.load(name, pl.DataFrame), key, personal).find
        for name, key in params.lookup.items()
    }
    return derived_columns(params.derive, train.lazy().collect_schema(), tables)
