"""The built-in step `deploy`: serve a registered model at an endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.base.ids import check_name
from mlopsfw.kernel.config.options import check_options
from mlopsfw.kernel.roles.hookspecs import hookimpl
from mlopsfw.kernel.roles.provider import Provider
from mlopsfw.kernel.roles.step import Step
from mlopsfw.lineage.references import parse_reference
from mlopsfw.pipeline.graph.step import StepContext

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.host import Host
    from mlopsfw.serving.endpoints import Endpoints


class DeployParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.deploy]`.

    Args:
        model: `models:/name@alias`; by default the input `model`.
        endpoint: The endpoint; by default the model's name.
        deployer: The deployer, by its name in the configuration; by default the one that serves the endpoint, or the
            default one for a new endpoint.
    """

    model: str = ""
    endpoint: str = ""
    deployer: str = ""

    def __post_init__(self) -> None:
        model = partial(parse_reference, scheme="models")
        check_options(self, model=model, endpoint=partial(check_name, what="endpoint"))


def _run(params: DeployParams, context: StepContext, *, endpoints: Endpoints) -> Mapping[str, Any]:
    status = endpoints.deploy(
        _reference(context, params),
        params.endpoint or None,
        deployer=params.deployer,
        reason=f"run {context.run}, step {context.step}",
    )
    context.log(f"{status.endpoint} serves {status.model}@{status.version} at {status.url}")
    facts = {name: getattr(status, name) for name in ("endpoint", "url", "model", "version", "revision", "deployer")}
    return {"endpoint": facts}


def _reference(context: StepContext, params: DeployParams) -> str:
    wired = context.inputs.get("model")
    if wired is not None and wired.kind == "model":
        return wired.ref
    if params.model and wired is None:
        return params.model
    raise UsageError(
        f"step {context.step} does not say which model to deploy"
        if wired is None
        else f"a {wired.kind} is not a model",
        hint='Wire inputs = { model = "register" }, or set model = "models:/name@champion".',
    )


def build(params: DeployParams, _host: Host) -> Step:
    """Return the step with these options."""
    return Step(
        run=partial(_run, params),
        optional=("model",),
        outputs=("endpoint",),
        cacheable=False,
        plugins=(f"deployer.{params.deployer}",) if params.deployer else (),
    )


@hookimpl
def mlopsfw_steps() -> Iterable[Provider[Step]]:
    """Offer the step `deploy`."""
    yield Provider(
        "deploy",
        DeployParams,
        build,
        "Serve a registered model at an endpoint, without failed requests",
    )
