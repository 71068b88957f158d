"""The built-in step `train`: train a model with the selected trainer, and store it as a bundle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.roles.hookspecs import hookimpl
from mlopsfw.kernel.roles.provider import Provider
from mlopsfw.kernel.roles.step import Step
from mlopsfw.kernel.roles.training import TrainingData
from mlopsfw.pipeline.graph.step import StepContext
from mlopsfw.steps.stored_model import stored_model
from mlopsfw.steps.training_params import FitParams, TrainParams, training_task

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.host import Host
    from mlopsfw.models.bundle import BundleStore
    from mlopsfw.pipeline.graph.parts import Trainers
    from mlopsfw.privacy.marks import Privacy
    from mlopsfw.steps.origins import ColumnOrigins


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
