"""The built-in step `train`: rows go to the selected trainer, and what it learned becomes a model bundle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.contracts.training import Task, TrainingTask
from mlopsfw.pipeline.step import BuiltinStep, BundleFolder, StepContext

if TYPE_CHECKING:
    from mlopsfw.contracts.training import TrainedModel


class TrainParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.train]`. How it is learned is `[trainer]`'s.

    Args:
        task: `binary`, `multiclass` or `regression`.
        target: The label's column.
        features: Columns to learn from; all but the target, `exclude`, `time` and `weight` where it is empty.
        exclude: Columns never to learn from: identifiers, and what is known only after the label.
        time: The event-time column, where there is one.
        weight: A column of sample weights.
        seed: Seeds everything random.
        options: Per column: `kind` (`number`, `category`), `buckets`, `bins`, `pii`.
    """

    task: Task
    target: str
    features: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    time: str = ""
    weight: str = ""
    seed: int = 0
    options: dict[str, dict[str, Any]] = {}


def _run(context: StepContext, params: TrainParams) -> Mapping[str, Any]:
    import pyarrow as pa

    from mlopsfw.pipeline.values import store

    task = TrainingTask(**msgspec.structs.asdict(params) | {"options": _options(context, params)})
    train: pa.Table = context.load("train", pa.Table)
    valid: pa.Table | None = context.load("valid", pa.Table) if "valid" in context.inputs else None
    trained = context.project.trainer.fit(task, train, valid, context)
    _report(context, trained)
    folder = context.scratch / "bundle"
    context.project.bundles.write(folder, trained, task, train)
    artifact = store(context.project, BundleFolder(folder), "model")
    return {
        "model": msgspec.structs.replace(artifact, meta={**artifact.meta, "task": task.task, "target": task.target})
    }


def _options(context: StepContext, params: TrainParams) -> dict[str, dict[str, Any]]:
    """Return the columns' options; of those that a dataset marks as personal, no value is kept in the bundle."""
    personal = {name: {"pii": True} for name in context.project.privacy.everywhere if name != params.target}
    return {**personal, **{name: {**personal.get(name, {}), **own} for name, own in params.options.items()}}


def _report(context: StepContext, trained: TrainedModel) -> None:
    for name, value in trained.metrics.items():
        context.log_metric(name, value)
    told = ("trainer", "device", "rows", "epochs", "best_epoch", "parameters", "rows_without_label")
    facts = ", ".join(f"{name} {trained.facts[name]}" for name in told if name in trained.facts)
    context.log(f"trained: {facts}")
    context.log(", ".join(f"{name} {value:.4g}" for name, value in trained.metrics.items()))


STEP = BuiltinStep(
    name="train",
    run=_run,
    params=TrainParams,
    inputs=("train",),
    optional=("valid",),
    outputs=("model",),
    plugins=("trainer",),
    summary="Train a model with the selected trainer and keep it as a bundle",
)
