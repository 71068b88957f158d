"""`Execution`: what the run of a pipeline is carried out with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.engine import Handle, StepResult, StepSpec
    from mlopsfw.kernel.services import Services
    from mlopsfw.pipeline.cache.results import Results
    from mlopsfw.pipeline.partitions.parts import Parts
    from mlopsfw.pipeline.run.inputs import Inputs


class Workers(Protocol):
    """Where attempts are made."""

    @property
    def slots(self) -> int:
        """How many attempts can be in flight."""
        ...

    def submit(self, spec: StepSpec) -> Handle:
        """Hand an attempt to the engine; return at once."""
        ...

    def run_here(self, spec: StepSpec) -> StepResult:
        """Make an attempt in this process, for a debugger: the step has the terminal, and its exception passes."""
        ...


@dataclass(frozen=True, kw_only=True)
class Execution:
    """What a run is carried out with.

    Args:
        services: The kernel's.
        workers: Make the attempts.
        results: Kept results of earlier runs.
        inputs: Finds what a step is given.
        parts: Cuts and joins the values of steps that run by parts.
    """

    services: Services
    workers: Workers
    results: Results
    inputs: Inputs
    parts: Parts
