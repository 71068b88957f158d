"""Where a step's inputs come from: outputs of earlier steps, and references resolved at the moment the step becomes ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlopsfw.kernel.base.references import parse_reference
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.pipeline.graph.graph import Node, Output

if TYPE_CHECKING:
    from mlopsfw.project.facade import Project


def resolve_inputs(project: Project, node: Node, outputs: Mapping[str, Mapping[str, Artifact]]) -> dict[str, Artifact]:
    """Return the step's inputs by parameter name. Raise what the dataset, registry or run raises for a wrong reference."""
    if node.taken is not None:
        return dict(node.taken)
    found = {}
    for parameter, source in node.inputs.items():
        if isinstance(source, Output):
            found[parameter] = outputs[source.step][source.name]
        else:
            found[parameter] = resolve_reference(project, source)
    return found


def resolve_reference(project: Project, text: str) -> Artifact:
    """Return the artifact that `data:/…`, `models:/…` or `runs:/…` names now."""
    reference = parse_reference(text)
    if reference.scheme == "data":
        dataset = project.datasets.resolve(text)
        return Artifact(kind="dataset", digest=dataset.digest, ref=f"data:/{dataset.name}@{dataset.version}")
    if reference.scheme == "models":
        model = project.registry.resolve(text)
        return Artifact(
            kind="model", digest=model.bundle, blob=model.bundle, ref=f"models:/{model.name}@{model.version}"
        )
    return project.runs.artifact(text)
