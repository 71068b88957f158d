"""The built-in step `gate`: stops the run unless a candidate meets every rule about its metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import GateRefused, UnknownName, UsageError
from mlopsfw.kernel.base.ids import check_name
from mlopsfw.kernel.config.options import check_options
from mlopsfw.kernel.roles.hookspecs import hookimpl
from mlopsfw.kernel.roles.provider import Provider
from mlopsfw.kernel.roles.step import Step
from mlopsfw.models.objectives import Standing, rule_of
from mlopsfw.models.rules import Rule, Verdict, parse_rule
from mlopsfw.pipeline.graph.step import StepContext

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.host import Host
    from mlopsfw.models.objectives import Objectives
    from mlopsfw.models.registry import ModelVersion, Registry

_REPORTS = ("validation", "leakage", "calibration")
_UNNAMED = 'If the candidate may be the champion, name the bundle of these metrics: inputs = { …, model = "train" }.'


class GateParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.gate]`.

    Args:
        rules: Comparisons such as `auc >= 0.65`, `auc > baseline.logistic.auc + 0.01`, `auc >= champion.auc`. Names are paths in the
            metrics, `*` in them is every value; those that begin with `champion.` are paths in the metrics of the input `champion`, or,
            without one, of the version that the alias points at, those with `compare.` in the comparison with it, such as `compare.low > 0`:
            better by more than chance. Such a rule has nothing to decide, and holds, while there is no champion, or
            if the candidate is the champion, with the same bundle by its digest. `evaluate` writes the digest of its model
            into the metrics; beside metrics of your own, connect the input `model`. Equal metrics of another model do not count.
            The reports of other steps are paths that begin with the input: `validation`, `leakage` or `calibration`.
        model: The model with the champion; needed for rules that name it without an input `champion`, and for the
            `[[objective]]` that name it. An objective that is due is a rule too.
        alias: The alias of the champion.
    """

    rules: tuple[str, ...] = ()
    model: str = ""
    alias: str = "champion"

    def __post_init__(self) -> None:
        from mlopsfw.models.registry.catalog import check_alias

        check_options(self, rules=parse_rule, model=partial(check_name, what="model"), alias=check_alias)

    def parsed(self) -> tuple[Rule, ...]:
        """Return the parsed rules. Raise `UsageError`."""
        return tuple(map(parse_rule, self.rules))


def _facts(params: GateParams, *, models: Registry, objectives: Objectives) -> Mapping[str, object]:
    champion = _champion(models, params)
    due = {rule_of(each).text: objectives.due(each) for each in objectives.of(params.model)}
    return {"champion": champion.version if champion else 0, **({"objectives": due} if due else {})}


def _champion(models: Registry, params: GateParams) -> ModelVersion | None:
    if not params.model or not any(rule.names_champion for rule in params.parsed()):
        return None
    try:
        return models.resolve(f"models:/{params.model}@{params.alias}")
    except UnknownName:
        return None


def _run(params: GateParams, context: StepContext, *, models: Registry, objectives: Objectives) -> Mapping[str, Any]:
    metrics = context.load("metrics")
    if not params.rules and not objectives.of(params.model):
        raise UsageError(
            "the gate has no rules, and no [[objective]] is about its model", hint='Such as rules = ["auc >= 0.65"].'
        )
    facts = {**metrics, **{name: context.load(name) for name in _REPORTS if name in context.inputs}}
    champion, bundle = _rival(models, context, params, metrics)
    same = bool(bundle) and _candidate(context, metrics) == bundle
    exempt = "the candidate is the champion" if same else ""
    verdicts: list[Verdict | Standing] = [rule.judge(facts, champion, exempt=exempt) for rule in params.parsed()]
    verdicts += objectives.standings(params.model, facts)
    for verdict in verdicts:
        context.log(str(verdict))
    refused = [str(verdict) for verdict in verdicts if not verdict.holds]
    if refused:
        listed = "".join(f"\n  - {line}" for line in refused)
        raise GateRefused(
            f"step {context.step} refuses: {len(refused)} of {len(verdicts)} rules do not hold:{listed}",
            hint="" if _candidate(context, metrics) or champion is None else _UNNAMED,
        )
    return {"metrics": context.inputs["metrics"]}


def _candidate(context: StepContext, metrics: Mapping[str, Any]) -> str:
    """Return the digest of the bundle to which the metrics belong, or nothing if unknown."""
    model = context.inputs.get("model")
    return model.blob if model is not None else str(metrics.get("bundle", ""))


def _rival(
    models: Registry, context: StepContext, params: GateParams, metrics: Mapping[str, Any]
) -> tuple[Mapping[str, Any] | None, str]:
    """Return the champion's metrics (None without a champion), and the digest of its bundle."""
    registered = _champion(models, params)
    bundle = registered.bundle if registered else str((metrics.get("compare") or {}).get("bundle", ""))
    if "champion" not in context.inputs:
        return (registered.metrics if registered else None), bundle
    wired: Mapping[str, Any] | None = context.load("champion")
    return wired, str((wired or {}).get("bundle", bundle))


def build(params: GateParams, _host: Host) -> Step:
    """Return the step with these options."""
    return Step(
        run=partial(_run, params),
        inputs=("metrics",),
        optional=("champion", "model", *_REPORTS),
        outputs=("metrics",),
        facts=partial(_facts, params),
        version=3,
    )


@hookimpl
def mlopsfw_steps() -> Iterable[Provider[Step]]:
    """Offer the step `gate`."""
    yield Provider("gate", GateParams, build, "Stop the run unless every rule about the metrics holds")
