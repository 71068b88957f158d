"""The built-in step `deploy`: the registered model it is given becomes what an endpoint serves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.pipeline.graph.step import BuiltinStep, StepContext


class DeployParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.deploy]`.

    Args:
        model: `models:/name@alias`; what is wired to the input `model` where it is empty.
        endpoint: The endpoint; the model's name where it is empty.
    """

    model: str = ""
    endpoint: str = ""


def _run(context: StepContext, params: DeployParams) -> Mapping[str, Any]:
    status = context.project.endpoints.deploy(
        _reference(context, params), params.endpoint or None, reason=f"run {context.run}, step {context.step}"
    )
    context.log(f"{status.endpoint} serves {status.model}@{status.version} at {status.url}")
    facts = {name: getattr(status, name) for name in ("endpoint", "url", "model", "version", "revision")}
    return {"endpoint": facts}


def _reference(context: StepContext, params: DeployParams) -> str:
    wired = context.inputs.get("model")
    if wired is not None and wired.kind == "model":
        return wired.ref
    if params.model and wired is None:
        return params.model
    raise UsageError(
        f"step {context.step} does not say which model to deploy" if wired is None else f"{wired.kind} is no model",
        hint='Wire inputs = { model = "register" }, or set model = "models:/name@champion".',
    )


STEP = BuiltinStep(
    name="deploy",
    run=_run,
    params=DeployParams,
    optional=("model",),
    outputs=("endpoint",),
    cacheable=False,
    summary="Serve a registered model at an endpoint, replacing what it served with no failed request",
)
