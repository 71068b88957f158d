"""A trained model as the result of a step: a bundle, and what the log says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mlopsfw.pages.values import number_text
from mlopsfw.pipeline.graph.step import BundleFolder, StepContext

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.kernel.roles.training import TrainedModel, TrainingData, TrainingTask
    from mlopsfw.models.bundle import BundleStore
    from mlopsfw.steps.origins import ColumnOrigins


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
