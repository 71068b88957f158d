"""The built-in step `train`: train a model with the selected trainer, and store it as a bundle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from mlopsfw.kernel.roles.hookspecs import hookimpl
from mlopsfw.kernel.roles.provider import Provider
from mlopsfw.kernel.roles.step import Step
from mlopsfw.kernel.roles.training import TrainingData, TrainingTask
from mlopsfw.pages.values import number_text
from mlopsfw.pipeline.graph.step import BundleFolder, StepContext
from mlopsfw.steps.training_checks import check_columns, check_quantiles
from mlopsfw.training.search.settings import Tune
from mlopsfw.training.search.space import FEATURES

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.kernel.roles.derived import Derived
    from mlopsfw.kernel.roles.host import Host
    from mlopsfw.kernel.roles.training import TrainedModel
    from mlopsfw.models.bundle import BundleStore
    from mlopsfw.pipeline.graph.parts import Trainers
    from mlopsfw.privacy.marks import Privacy
    from mlopsfw.steps.origins import ColumnOrigins


class TrainParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.train]`. `[trainer]` configures the training itself.

    Args:
        trainer: The name of the trainer; by default the project's `[trainer]`.
        task: `binary`, `multiclass`, `regression`, or another word that the trainer knows.
        target: The label's column.
        features: Columns to learn from; by default all but the target, `exclude`, `time` and `weight`.
        exclude: Columns never to learn from: identifiers, and columns known only after the label.
        time: The event-time column, if there is one.
        weight: A column of sample weights.
        seed: Seeds everything random.
        quantiles: Of a regression: two levels, such as [0.05, 0.95]. The model answers with these quantiles of the target beside the
            value, which stays the same. `calibrate` makes intervals of them.
        options: Per column: `kind` (`number`, `category`), `buckets`, `bins`, `pii`.
        derive: Columns that the model computes from each row, in training and in serving: name → expression in Polars' notation.
        lookup: Inputs of this step that `derive` can look values up in; they become part of the model. Name → key column.
    """

    task: str
    target: str
    features: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    time: str = ""
    weight: str = ""
    seed: int = 0
    quantiles: tuple[Annotated[float, msgspec.Meta(gt=0, lt=1)], ...] = ()
    options: dict[str, dict[str, Any]] = {}
    derive: dict[str, str] = {}
    lookup: dict[str, str] = {}
    trainer: str = ""

    def __post_init__(self) -> None:
        check_columns(self, self.features, "features")
        check_quantiles(self)


class FitParams(TrainParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.train]`, with the search for what to train.

    Args:
        tune: The search for the best trainer and its options; the winner then learns from all rows.
    """

    tune: Tune | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for columns in self.tune.sets if self.tune else ():
            check_columns(self, columns, f"tune.space.{FEATURES}")


def _run(
    params: TrainParams,
    context: StepContext,
    *,
    trainers: Trainers,
    bundles: BundleStore,
    privacy: Privacy,
    origins: ColumnOrigins,
) -> Mapping[str, Any]:
    train: TrainingData = context.load("train", TrainingData)
    task = training_task(params, context, privacy, train)
    valid: TrainingData | None = context.load("valid", TrainingData) if "valid" in context.inputs else None
    trained = trainers(params.trainer).fit(task, train, valid, context)
    return {"model": stored_model(trained, task, train, context, bundles=bundles, origins=origins)}


def stored_model(
    trained: TrainedModel,
    task: TrainingTask,
    train: TrainingData,
    context: StepContext,
    *,
    bundles: BundleStore,
    origins: ColumnOrigins,
) -> Artifact:
    """Store a trained model as a bundle, and log what it is and what a request carries."""
    _report(context, trained)
    folder = context.scratch / "bundle"
    manifest = bundles.write(folder, trained, task, train)
    _tell_request(origins, context, [column.name for column in manifest.inputs])
    artifact = context.values.store(BundleFolder(folder), "model")
    return msgspec.structs.replace(artifact, meta={**artifact.meta, "task": task.task, "target": task.target})


def training_task(params: TrainParams, context: StepContext, privacy: Privacy, rows: TrainingData) -> TrainingTask:
    """Return what a step that trains is to learn from `rows`."""
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


def _tell_request(origins: ColumnOrigins, context: StepContext, inputs: list[str]) -> None:
    context.log(f"a request carries {', '.join(inputs)}")
    for column, step in origins.made_upstream(context, "train", inputs).items():
        context.log(f"  {column} from step {step}: that step does not run when the model is served")


def _report(context: StepContext, trained: TrainedModel) -> None:
    for name, value in trained.metrics.items():
        context.log_metric(name, value)
    names = (
        "trainer",
        "device",
        "rows",
        "schedule",
        "epochs",
        "best_epoch",
        "steps",
        "parameters",
        "rows_without_label",
    )
    facts = ", ".join(f"{name} {trained.facts[name]}" for name in names if name in trained.facts)
    context.log(f"trained: {facts}")
    context.log(", ".join(f"{name} {number_text(value)}" for name, value in trained.metrics.items()))


def build(params: FitParams, _host: Host) -> Step:
    """Return the step with these options."""
    if params.tune is not None:
        from mlopsfw.steps.search import search
        from mlopsfw.steps.search_checks import check_search

        names = params.tune.trainers or (params.trainer,)
        return Step(
            run=partial(search, params, params.tune),
            check=partial(check_search, params, params.tune),
            inputs=("train", *params.lookup),
            outputs=("model", "search"),
            plugins=(*(f"trainer.{name}" for name in names), "metric"),
        )
    return Step(
        run=partial(_run, params),
        inputs=("train", *params.lookup),
        optional=("valid",),
        outputs=("model",),
        plugins=(f"trainer.{params.trainer}",),
    )


@hookimpl
def mlopsfw_steps() -> Iterable[Provider[Step]]:
    """Offer the step `train`."""
    yield Provider("train", FitParams, build, "Train a model with the selected trainer, and store it as a bundle")
