"""`Execution`: the parts that carry out the run of a pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.engine import Engine, StepResult, StepSpec
    from mlopsfw.kernel.services import Services
    from mlopsfw.pipeline.cache.results import Results
    from mlopsfw.pipeline.partitions.parts import Parts
    from mlopsfw.pipeline.run.inputs import Inputs
    from mlopsfw.pipeline.values.codec import Values


class Workers(Protocol):
    """Makes attempts."""

    def engine(self, name: str) -> Engine:
        """Return an engine, built when it is first asked for."""
        ...

    def renew(self) -> None:
        """Let go of every worker, between two runs."""
        ...

    def run_here(self, spec: StepSpec) -> StepResult:
        """Make an attempt in this process, for a debugger: the step owns the terminal, and its exception propagates."""
        ...


@dataclass(frozen=True, kw_only=True)
class Execution:
    """The parts that carry out a run.

    Args:
        services: The kernel's services.
        workers: Make the attempts.
        results: Kept results of earlier runs.
        inputs: Finds what a step is given.
        parts: Cuts and joins the values of steps that run by parts.
        values: Reads results.
    """

    services: Services
    workers: Workers
    results: Results
    inputs: Inputs
    parts: Parts
    values: Values
