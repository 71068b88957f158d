"""The worker's side: run one attempt of one step, in whatever process an engine chose.

`execute` is all that an engine calls. It turns a `StepSpec` into a `StepResult`; whatever the step raises becomes a `Failure`, and
what it prints becomes its log. Retries, cache and the run's own events are the coordinator's. What runs a step is imported with the
first one: a deployer's server imports the same face, and stays small.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from mlopsfw.kernel.roles.engine import Launcher, StepResult, StepSpec

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.event import Event
    from mlopsfw.project.facade import Project


class _Opened(NamedTuple):
    """A project, and the events that it has appended since the list was last emptied: observers live in the coordinator."""

    project: Project
    appended: list[Event]


_projects: dict[tuple[str, str], _Opened] = {}
"""Projects that this process has open: a worker is used for step after step."""


def execute(spec: bytes, *, shared: bool = False, launcher: Launcher | None = None) -> bytes:
    """Run the attempt that `spec` (a `StepSpec` as JSON) describes; return a `StepResult` as JSON.

    What the step or the opening of the project raises is a failure in the result. An interrupt, or a spec that is none, raises.

    Args:
        spec: What to run.
        shared: Whether other attempts, or mlopsfw itself, run in this process at the same time. Then the step has no folder,
            environment and log of its own: these are the process's.
        launcher: Starts processes of the step on several nodes, if the engine can.
    """
    from mlopsfw.data.tables.readahead import bound_readahead
    from mlopsfw.pipeline.run.failure import failure_of
    from mlopsfw.pipeline.run.step_runner import node_name

    bound_readahead()
    wanted = msgspec.json.decode(spec, type=StepSpec)
    began = time.monotonic()
    try:
        project, appended = _opened(wanted, shared=shared)
        runner = project.step_runner
    except Exception as error:  # noqa: BLE001 - the coordinator must hear of it, whatever it is
        result = StepResult(
            failure=failure_of(error, Path(wanted.project)), node=node_name(), seconds=time.monotonic() - began
        )
    else:
        appended.clear()
        result = runner.run(wanted, project.config.code, shared=shared, launcher=launcher)
        if shared:
            project.close()
        result = msgspec.structs.replace(result, events=tuple((event.stream, event.seq) for event in appended))
    return msgspec.json.encode(result)


def _opened(spec: StepSpec, *, shared: bool) -> _Opened:
    from mlopsfw.kernel.config import ProjectConfig
    from mlopsfw.project.facade import Project

    key = (spec.project, spec.config)
    if key in _projects and not shared:
        return _projects[key]
    config, appended = ProjectConfig.from_json(spec.config), list["Event"]()
    opened = _Opened(Project.open(Path(spec.project), config=config, observe=appended.append), appended)
    if not shared:
        _projects[key] = opened
    return opened
