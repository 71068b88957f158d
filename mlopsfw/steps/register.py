"""The built-in step `register`: register a bundle as a version of a model, with its origins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.base.ids import check_name
from mlopsfw.kernel.config.options import check_options
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.kernel.roles.hookspecs import hookimpl
from mlopsfw.kernel.roles.provider import Provider
from mlopsfw.kernel.roles.step import Step
from mlopsfw.pipeline.graph.step import StepContext

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.host import Host
    from mlopsfw.models.bundle import BundleStore
    from mlopsfw.models.registry import ModelVersion
    from mlopsfw.pipeline.run.runs import Runs


class RegisterParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.register]`.

    Args:
        name: The model's name.
        alias: An alias to point at the version; empty for none. An alias that pointed at this version before does not move back.
        message: Why, for people.
    """

    name: str
    alias: str = ""
    message: str = ""

    def __post_init__(self) -> None:
        from mlopsfw.models.registry.catalog import check_alias

        check_options(self, name=partial(check_name, what="model"), alias=check_alias)


def _run(params: RegisterParams, context: StepContext, *, bundles: BundleStore, runs: Runs) -> Mapping[str, Any]:
    bundle = context.inputs["model"]
    if bundle.kind != "bundle":
        raise UsageError(f"step {context.step} needs a bundle, not a {bundle.kind}", hint='model = "train"')
    bundles.open(context.load("model", Path))  # replays its golden rows before anyone can deploy it
    version = context.models.register(
        params.name,
        bundle.blob,
        run=context.run,
        step=context.step,
        datasets=runs.datasets_of(context.run, context.step),
        metrics=_metrics(context),
        task=str(bundle.meta.get("task", "")),
        message=params.message,
    )
    context.log(f"{version.ref}{'' if version.new else ' (unchanged)'}")
    if params.alias:
        _point(context, params.alias, version)
    return {"model": Artifact(kind="model", digest=version.bundle, blob=version.bundle, ref=version.ref)}


def _metrics(context: StepContext) -> Mapping[str, Any] | None:
    name = next((name for name in ("metrics", "gate") if name in context.inputs), None)
    found = context.load(name) if name else None
    return found if isinstance(found, Mapping) else None


def _point(context: StepContext, alias: str, version: ModelVersion) -> None:
    """Move the alias unless it ever pointed at this version: then someone has moved it since, and a rerun must not undo that."""
    moves = context.models.model(version.name).moves
    if any(move.alias == alias and move.version == version.version for move in moves):
        return
    move = context.models.promote(version.name, version.version, alias, reason=f"run {context.run}")
    context.log(f"{version.name}@{alias}: version {move.version}, was {move.was or 'nowhere'}")


def build(params: RegisterParams, _host: Host) -> Step:
    """Return the step with these options."""
    return Step(
        run=partial(_run, params),
        inputs=("model",),
        optional=("metrics", "gate"),
        outputs=("model",),
        cacheable=False,
    )


@hookimpl
def mlopsfw_steps() -> Iterable[Provider[Step]]:
    """Offer the step `register`."""
    yield Provider("register", RegisterParams, build, "Register a bundle as the next version of a model")
