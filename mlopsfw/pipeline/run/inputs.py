"""The inputs of a step: outputs of earlier steps, and references resolved when the step becomes ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlopsfw.kernel.base.references import parse_reference
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.pipeline.graph.model import Node, Output

if TYPE_CHECKING:
    from mlopsfw.data.datasets import Datasets
    from mlopsfw.models.registry import Registry
    from mlopsfw.pipeline.run.runs import Runs


class Inputs:
    """Finds the inputs of steps.

    Args:
        datasets: Versions of datasets.
        models: Registered models.
        runs: What earlier runs returned.
    """

    def __init__(self, datasets: Datasets, models: Registry, runs: Runs) -> None:
        self._datasets, self._models, self._runs = datasets, models, runs

    def of(self, node: Node, outputs: Mapping[str, Mapping[str, Artifact]]) -> dict[str, Artifact]:
        """Return the step's inputs by parameter name. Raise the error of the dataset, registry or run for a wrong reference."""
        if node.taken is not None:
            return dict(node.taken)
        found = {}
        for parameter, source in node.inputs.items():
            if isinstance(source, Output):
                found[parameter] = outputs[source.step][source.name]
            else:
                found[parameter] = self.resolve(source)
        return found

    def resolve(self, text: str) -> Artifact:
        """Return the artifact that `data:/…`, `models:/…` or `runs:/…` names now."""
        reference = parse_reference(text)
        if reference.scheme == "data":
            dataset = self._datasets.resolve(text)
            return Artifact(kind="dataset", digest=dataset.digest, ref=f"data:/{dataset.name}@{dataset.version}")
        if reference.scheme == "models":
            model = self._models.resolve(text)
            return Artifact(
                kind="model", digest=model.bundle, blob=model.bundle, ref=f"models:/{model.name}@{model.version}"
            )
        return self._runs.artifact(text)
