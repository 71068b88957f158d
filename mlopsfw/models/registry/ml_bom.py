"""The card of a model version as a CycloneDX 1.7 ML-BOM (ECMA-424): the model with its model card, and the packages that made it.

cyclonedx-python-lib makes the document. Its components have no model card yet, so that part is added to what it writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

import msgspec

from mlopsfw.kernel.base.errors import MissingExtra
from mlopsfw.models.bundle.card import type_text
from mlopsfw.models.registry.card_concerns import CONCERNS, interval_text, with_intervals
from mlopsfw.models.registry.version_card import flat, said_of, training_of

if TYPE_CHECKING:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component

    from mlopsfw.kernel.config.model import Definition
    from mlopsfw.kernel.roles.bundle import Manifest
    from mlopsfw.models.registry.versions import ModelVersion

_NO_PACKAGES = ("python", "platform")
_SETS = ("train", "valid", "holdout")  # as trainers call the rows that they measure
_ENDS = {"low": "lowerBound", "high": "upperBound"}


class Described(NamedTuple):
    """What a document is made of.

    Args:
        version: The model's version.
        manifest: That of its bundle; None where this mlopsfw cannot read it.
        definition: What the project's file says.
        installed: What was installed where it was made: distribution → version.
    """

    version: ModelVersion
    manifest: Manifest | None
    definition: Definition
    installed: Mapping[str, str]


def ml_bom(described: Described) -> str:
    """Return the document as JSON: the same text for the same version and file. Raise `MissingExtra`."""
    try:
        from cyclonedx.output import make_outputter
        from cyclonedx.schema import OutputFormat, SchemaVersion
    except ImportError:
        raise MissingExtra("a card in the format cyclonedx", "card") from None
    text = make_outputter(_bom(described), OutputFormat.JSON, SchemaVersion.V1_7).output_as_string()
    document = msgspec.json.decode(text, type=dict[str, Any])
    document["metadata"]["component"]["modelCard"] = _pruned(_model_card(described))
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _bom(described: Described) -> Bom:
    from cyclonedx.model.bom import Bom, BomMetaData

    version = described.version
    model, packages = _model(described), list(_packages(described.installed))
    when = datetime.fromisoformat(version.time)
    bom = Bom(
        serial_number=uuid5(NAMESPACE_URL, f"{version.ref}#{version.bundle}"),
        metadata=BomMetaData(component=model, timestamp=when),
        components=packages,
    )
    bom.register_dependency(model, packages)
    return bom


def _model(described: Described) -> Component:
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.contact import OrganizationalEntity

    version, definition = described.version, described.definition
    facts = {"bundle": version.bundle, "run": version.run, "commit": version.code.get("commit", "")}
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=version.name,
        version=str(version.version),
        bom_ref=version.ref,
        description=definition.purpose or None,
        supplier=OrganizationalEntity(name=definition.owner) if definition.owner else None,
        properties=[Property(name=f"mlopsfw:{name}", value=value) for name, value in facts.items() if value],
    )


def _packages(installed: Mapping[str, str]) -> Iterator[Component]:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    for name, version in sorted(installed.items()):
        if name not in _NO_PACKAGES:
            url = PackageURL("pypi", name=re.sub(r"[-_.]+", "-", name).lower(), version=version)
            yield Component(type=ComponentType.LIBRARY, name=name, version=version, purl=url, bom_ref=url.to_string())


def _model_card(described: Described) -> dict[str, Any]:
    version, definition = described.version, described.definition
    missing = [name for name, text in said_of(definition).items() if not text]
    importance = version.metrics.get("importance") or {}
    return {
        "modelParameters": _parameters(described),
        "quantitativeAnalysis": {
            "performanceMetrics": [*_performance(version.metrics), *_of_trainer(described.manifest)]
        },
        "considerations": {
            "users": list(definition.stakeholders),
            "useCases": [definition.purpose] if definition.purpose else [],
            "technicalLimitations": [f"Out of scope: {each}" for each in definition.out_of_scope],
            "fairnessAssessments": list(_fairness(version.metrics.get("bias") or {})),
        },
        "properties": [
            *({"name": "mlopsfw:not-said", "value": name} for name in missing),
            *({"name": "mlopsfw:not-measured", "value": name} for name in CONCERNS if not version.metrics.get(name)),
            *(
                {"name": f"mlopsfw:importance:{name}", "value": interval_text(value)}
                for name, value in importance.get("columns", {}).items()
            ),
            *_training(described.manifest),
        ],
    }


def _parameters(described: Described) -> dict[str, Any]:
    datasets = [{"type": "dataset", "name": ref} for ref in described.version.datasets]
    if (manifest := described.manifest) is None:
        return {"datasets": datasets}
    return {
        "approach": {"type": "supervised"} if manifest.target else {},
        "task": manifest.task,
        "architectureFamily": str(manifest.facts.get("trainer", "")),
        "modelArchitecture": str(manifest.facts.get("estimator") or manifest.facts.get("module") or "")
        or ", ".join(manifest.formats),
        "datasets": datasets,
        "inputs": [{"format": f"{each.name}: {type_text(each)}"} for each in manifest.inputs],
        "outputs": [{"format": f"{each.name}: {type_text(each)}"} for each in manifest.outputs],
    }


def _training(manifest: Manifest | None) -> Iterator[dict[str, str]]:
    """Yield the facts of the training, its options and its search: the schema has no field for hyperparameters."""
    facts, options = training_of(manifest)
    for above, tree in (("training", facts), ("option", options)):
        yield from (
            {"name": f"mlopsfw:{above}:{name}", "value": str(value)} for name, value in flat(tree) if value != ""
        )


def _of_trainer(manifest: Manifest | None) -> Iterator[dict[str, str]]:
    """Yield what the trainer measured: `valid_auc` is the metric `auc` of the slice `training/valid`."""
    metrics: Mapping[str, float | None] = manifest.facts.get("metrics", {}) if manifest else {}
    for name, value in metrics.items():
        if value is None:  # earlier releases wrote it for a metric that is no number
            continue
        rows, _, metric = name.partition("_")
        where, kind = (f"training/{rows}", metric) if rows in _SETS and metric else ("training", name)
        yield {"type": kind, "value": f"{value:.6g}", "slice": where}


def _performance(metrics: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each number: its last name is its type, the names before it are the slice."""
    for path, value in _numbers(metrics):
        where, _, name = path.rpartition("/")
        low_high = {_ENDS[end]: f"{value[end]:.6g}" for end in _ENDS if end in value}
        yield {"type": name, "value": f"{value['value']:.6g}", "slice": where, "confidenceInterval": low_high}


def _numbers(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Mapping[str, float]]]:
    for name, value in with_intervals(tree).items():
        path = f"{above}/{name}" if above else name
        if isinstance(value, Mapping) and "value" in value:
            yield path, value
        elif isinstance(value, Mapping):
            yield from _numbers(value, path)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield path, {"value": value}


def _fairness(bias: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield for each column the group for which the model decides most rarely, and how far the groups lie apart."""
    for column, judged in bias.items():
        rates = {
            name: group["selection_rate"]["value"]
            for name, group in judged.get("groups", {}).items()
            if "selection_rate" in group
        }
        gap = interval_text(judged.get("demographic_parity_difference"))
        if rates and gap:
            harms = f"the demographic parity difference is {gap}"
            yield {"groupAtRisk": f"{column}: {min(rates, key=rates.__getitem__)}", "harms": harms}


def _pruned(tree: Any) -> Any:
    """Return nested values without what is empty."""
    if isinstance(tree, Mapping):
        pruned = {name: _pruned(value) for name, value in tree.items()}
        return {name: value for name, value in pruned.items() if value not in ("", [], {})}
    return [_pruned(each) for each in tree] if isinstance(tree, list) else tree
