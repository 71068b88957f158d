"""Put the pipeline together: what runs are carried out with, and where attempts are made."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from mlopsfw.pipeline.cache.results import Results
from mlopsfw.pipeline.partitions.parts import Parts
from mlopsfw.pipeline.run.execution import Execution
from mlopsfw.pipeline.run.inputs import Inputs
from mlopsfw.pipeline.run.session import Sessions

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.engine import Engine, StepResult, StepSpec
    from mlopsfw.pipeline.graph.step import StepContext
    from mlopsfw.pipeline.run.children import Children
    from mlopsfw.project.wiring import Wiring


def sessions(project: Wiring) -> Sessions:
    """Return what starts, resumes and plans runs of the project's pipeline."""
    return Sessions(_execution(project), project.config, project.steps, project.plugins, project.runs)


def children(project: Wiring) -> Callable[[StepContext], Children]:
    """Return what gives a running step children."""
    from mlopsfw.pipeline.run.children import Children

    return partial(Children, _execution(project), project.pipeline, project.config)


def _execution(project: Wiring) -> Execution:
    return Execution(
        services=project.services,
        workers=_Workers(project),
        results=Results(project.services, project.datasets),
        inputs=Inputs(project.components),
        parts=Parts(project.values, project.datasets),
        values=project.values,
    )


class _Workers:
    """Makes attempts with the engines by name. Each is built when the first attempt is for it."""

    def __init__(self, project: Wiring) -> None:
        self._project = project

    def engine(self, name: str) -> Engine:
        return self._project.providers.engine(name)

    def renew(self) -> None:
        self._project.providers.close_engines()

    def run_here(self, spec: StepSpec) -> StepResult:
        return self._project.step_runner.run(spec, self._project.config.code, debug=True)
