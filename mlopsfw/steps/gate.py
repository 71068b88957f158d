"""The built-in step `gate`: a candidate goes on only if every rule about its metrics holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mlopsfw.errors import GateRefused, UnknownName
from mlopsfw.pipeline.step import BuiltinStep, StepContext
from mlopsfw.steps.rules import Rule, parse_rule


class GateParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.gate]`.

    Args:
        rules: Comparisons such as `auc >= 0.65`, `auc > baseline.logistic.auc + 0.01`, `auc >= champion.auc`. Names are paths in the
            metrics; those that begin with `champion.` are paths in the metrics of the input `champion`, or, without
            one, of the version that the alias points at. While there is no champion, or the
            candidate is the champion, such a rule holds; wire the input `model` to tell that by the bundle.
        model: The model whose champion is meant; needed for rules that name it without an input `champion`.
        alias: The alias that stands for the champion.
    """

    rules: tuple[str, ...]
    model: str = ""
    alias: str = "champion"

    def parsed(self) -> tuple[Rule, ...]:
        """Return the rules, read. Raise `UsageError`."""
        return tuple(map(parse_rule, self.rules))


def _facts(project: Any, params: GateParams) -> Mapping[str, object]:
    champion = _champion(project, params)
    return {"champion": champion.version if champion else 0}


def _champion(project: Any, params: GateParams) -> Any:
    if not params.model or not any(rule.names_champion for rule in params.parsed()):
        return None
    try:
        return project.registry.resolve(f"models:/{params.model}@{params.alias}")
    except UnknownName:
        return None


def _run(context: StepContext, params: GateParams) -> Mapping[str, Any]:
    metrics = context.load("metrics")
    verdicts = [rule.judge(metrics, _rival(context, params, metrics)) for rule in params.parsed()]
    for verdict in verdicts:
        context.log(str(verdict))
    refused = [str(verdict) for verdict in verdicts if not verdict.holds]
    if refused:
        listed = "".join(f"\n  - {line}" for line in refused)
        raise GateRefused(f"step {context.step} refuses: {len(refused)} of {len(verdicts)} rules do not hold:{listed}")
    return {"metrics": context.inputs["metrics"]}


def _rival(context: StepContext, params: GateParams, metrics: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the metrics to beat; None where there is no champion, or the candidate is the champion (a pipeline run again)."""
    champion = _champion(context.project, params)
    if champion is not None:
        model = context.inputs.get("model")
        if (model is not None and model.blob == champion.bundle) or champion.metrics == metrics:
            return None
    if "champion" in context.inputs:
        loaded: Mapping[str, Any] | None = context.load("champion")
        return loaded
    return champion.metrics if champion else None


STEP = BuiltinStep(
    name="gate",
    run=_run,
    params=GateParams,
    inputs=("metrics",),
    optional=("champion", "model"),
    outputs=("metrics",),
    facts=_facts,
    summary="Let a candidate go on only if every rule about its metrics holds",
)
