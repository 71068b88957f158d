"""The inputs of a step: outputs of earlier steps, and references resolved when the step becomes ready."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from mlopsfw.kernel.base.errors import InvalidReference
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.lineage.references import parse_reference
from mlopsfw.pipeline.graph.model import Node, Output

if TYPE_CHECKING:
    from mlopsfw.kernel.component import Component


class Inputs:
    """Finds the inputs of steps.

    Args:
        components: Contribute the kinds of references that a step can take.
        taken: Step → parameter → what an earlier run took by reference: it counts, whatever the reference names now.
    """

    def __init__(
        self, components: Sequence[Component], taken: Mapping[str, Mapping[str, Artifact]] = MappingProxyType({})
    ) -> None:
        self._components, self._taken = components, taken

    def as_taken(self, taken: Mapping[str, Mapping[str, Artifact]]) -> Inputs:
        """Return what finds the same inputs as an earlier run took."""
        return Inputs(self._components, taken)

    @property
    def schemes(self) -> Mapping[str, Callable[[str], Artifact]]:
        """Scheme → what finds the artifact of such a reference."""
        kinds = (kind for component in self._components for kind in component.references)
        return {kind.scheme: kind.artifact for kind in kinds if kind.artifact is not None}

    def of(self, node: Node, outputs: Mapping[str, Mapping[str, Artifact]]) -> dict[str, Artifact]:
        """Return the step's inputs by parameter name. Raise the component's error for a wrong reference."""
        if node.taken is not None:
            return dict(node.taken)
        found, taken = {}, self._taken.get(node.name, {})
        for parameter, source in node.inputs.items():
            if isinstance(source, Output):
                found[parameter] = outputs[source.step][source.name]
            else:
                found[parameter] = taken[parameter] if parameter in taken else self.resolve(source)
        return found

    def resolve(self, text: str) -> Artifact:
        """Return the artifact that a reference, such as `data:/…`, names now."""
        reference, schemes = parse_reference(text), self.schemes
        if reference.scheme not in schemes:
            raise InvalidReference(f"no step can take {text!r}", hint=f"There are {', '.join(sorted(schemes))}.")
        return schemes[reference.scheme](text)
