"""How a session of a run ends, however it does: its last event, its outcome, its folder."""

from __future__ import annotations

from bdb import BdbQuit
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import Conflict
from mlopsfw.kernel.roles.engine import Failure
from mlopsfw.pipeline.run.events import RunBroken

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.pipeline.run.runner import Coordinator

_REFUSED, _INTERRUPTED = 3, 130


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a session ended.

    Args:
        run: The run's id.
        status: `done`, `failed`, `refused` or `interrupted`.
        exit_code: What the command returns.
        seconds: How long this session took.
        failed: The step that failed, if one did.
        failure: What was wrong with it.
        outputs: What the steps returned.
        different: With `certify`, the outputs (`step.output`) that did not come out the same.
    """

    run: str
    status: str
    exit_code: int
    seconds: float
    failed: str
    failure: Failure | None
    outputs: Mapping[str, Mapping[str, Artifact]]
    different: Sequence[str]


def see_through(coordinator: Coordinator, then: Callable[[], None] = lambda: None) -> Outcome:
    """Run the steps, then call `then`, and return how it ended. What is no failure of a step is raised when the end is recorded."""
    journal, display = coordinator.journal, coordinator.display
    display.began(journal.run, len(coordinator.graph.nodes))
    try:
        coordinator.run()
        then()
    except (KeyboardInterrupt, BdbQuit):  # or the debugger's `quit`
        return _ended(coordinator, "interrupted", _INTERRUPTED)
    except Conflict:
        raise
    except BaseException as error:
        journal.append(RunBroken(error=type(error).__name__, message=str(error)))
        _ended(coordinator, "failed", getattr(error, "exit_code", 1))
        raise
    failure = coordinator.failure
    if failure is None:
        return _ended(coordinator, "failed" if coordinator.different else "done", 1 if coordinator.different else 0)
    return _ended(coordinator, "refused" if failure.exit_code == _REFUSED else "failed", failure.exit_code)


def _ended(coordinator: Coordinator, status: str, exit_code: int) -> Outcome:
    seconds = coordinator.journal.end(status, exit_code)
    if status == "done":
        _remove_folder(coordinator)
    return Outcome(
        run=coordinator.journal.run,
        status=status,
        exit_code=exit_code,
        seconds=seconds,
        failed=coordinator.failed,
        failure=coordinator.failure,
        outputs=coordinator.outputs,
        different=coordinator.different,
    )


def _remove_folder(coordinator: Coordinator) -> None:
    folder = coordinator.execution.services.workspace.state / "runs" / coordinator.journal.run
    if folder.is_dir():
        import shutil

        shutil.rmtree(folder, ignore_errors=True)


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as JSON values."""
    return {name: msgspec.to_builtins(getattr(outcome, name)) for name in outcome.__dataclass_fields__}
