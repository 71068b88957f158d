"""Reproduce a run: its code in a folder of its own, its configuration, the data that it took, its steps without the cache.

The new run is in the same storage as the origin. The work tree of the project is read, and never written to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from mlopsfw.kernel.base.errors import DataError, MlopsfwError
from mlopsfw.kernel.config.model import ProjectConfig, Selection
from mlopsfw.lineage.checkout import carry_over, check_out, untracked
from mlopsfw.lineage.environment import environment
from mlopsfw.operations.scratch import scratch_folder
from mlopsfw.pipeline.run.reproduction import PARTED, Judge, Origin, StepVerdict
from mlopsfw.pipeline.run.runs import differences
from mlopsfw.pipeline.values.likeness import Likeness
from mlopsfw.project.facade import Project

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlopsfw.pipeline.cache.key import Fingerprint
    from mlopsfw.pipeline.run.display import Display
    from mlopsfw.pipeline.run.outcome import Outcome

_FILE = "file:"


class Reproduction(msgspec.Struct, frozen=True, kw_only=True):
    """What came of reproducing a run.

    Args:
        origin: The run.
        run: The run that made its results anew; empty where recorded data is gone, so that nothing ran.
        status: `equal`, `within` the tolerance, `parted` or `interrupted`.
        first: The first step, in the order of the pipeline, whose results parted; empty for none.
        code: Where the code came from: `commit`, or `folder` for the project's own, with the same digests.
        note: What could not be restored; empty for nothing.
        packages: Installed package → (version then, version now) where they differ.
        steps: The verdict on each step.
        exit_code: What the command returns.
    """

    origin: str
    run: str = ""
    status: str
    first: str = ""
    code: str = ""
    note: str = ""
    packages: dict[str, tuple[Any, Any]] = {}
    steps: tuple[StepVerdict, ...] = ()
    exit_code: int = 0


def reproduce(
    project: Project, run: str, tolerance: float, show: Callable[[Project], Display], *, debug: bool = False
) -> Reproduction:
    """Run the steps of `run` again, as they were, and compare their results.

    Args:
        project: Where the run is recorded.
        run: Its id, as `Runs.get` takes it.
        tolerance: How far apart two numbers may be, as a share of the larger, or of 1.
        show: Returns what shows the steps of the project that it is given.
        debug: Run in this process.

    Raises:
        UnknownName: There is no such run.
        UsageError: It is a script's, still going on, or no step of it finished.
        DataError: Its code can neither be restored nor is the project's folder the same.
    """
    view = project.runs.get(run)
    origin = Origin.of(view, project.ledger.stream(f"run/{view.id}").events())
    config = _config(project, origin)
    with contextlib.ExitStack() as stack:
        root, code, note = stack.enter_context(_code(project, origin, config))
        again = stack.enter_context(Project.open(root, config=config, observe=project.observers))
        judge = Judge(origin, again.runs, Likeness(again.values, tolerance))
        verdicts, outcome = again.pipeline.lost(origin), None
        if not verdicts:
            outcome = again.pipeline.reproduce(show(again), origin, judge, debug=debug)
            verdicts = judge.verdicts
    facts = {"origin": view.id, "code": code, "note": note, "packages": _packages(project, origin)}
    return _result(verdicts, outcome, facts)


def _result(verdicts: tuple[StepVerdict, ...], outcome: Outcome | None, facts: Mapping[str, Any]) -> Reproduction:
    first = next((each.step for each in verdicts if each.verdict in PARTED), "")
    status = "parted" if first else "within" if any(each.verdict == "within" for each in verdicts) else "equal"
    if outcome is not None and outcome.status == "interrupted":
        return Reproduction(status="interrupted", run=outcome.run, exit_code=outcome.exit_code, **facts)
    run = outcome.run if outcome else ""
    return Reproduction(status=status, run=run, first=first, steps=verdicts, exit_code=1 if first else 0, **facts)


# -- the configuration ---------------------------------------------------------------------------------------------------------


def _config(project: Project, origin: Origin) -> ProjectConfig:
    """Return the recorded configuration, with the storage of today: a store may have moved, but is the same."""
    try:
        then = ProjectConfig.from_json(project.blobs.get(origin.view.facts.config))
    except msgspec.DecodeError as error:
        raise DataError(f"the configuration of run {origin.view.id} cannot be read: {error}") from None
    selection = project.config.selection("storage")
    _, _, options = project.plugins.selected("storage", selection, project.config)
    place = quote(str(project.root))
    storage = Selection(use=selection.use, key=selection.key, options=_anchored(msgspec.to_builtins(options), place))
    plain = _anchored(msgspec.to_builtins(then), str(project.root))
    encryption = _anchored(msgspec.to_builtins(project.config.encryption), str(project.root))
    plain["selected"]["storage"] = [msgspec.to_builtins(storage)]
    return msgspec.convert({**plain, "encryption": encryption}, ProjectConfig)


def _anchored(value: Any, root: str) -> Any:
    """Return a value in which each `file:` reference that is relative to the project is absolute."""
    if isinstance(value, dict):
        return {name: _anchored(each, root) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_anchored(each, root) for each in value]
    if isinstance(value, str) and value.startswith(_FILE) and not value.removeprefix(_FILE).startswith(("/", "~")):
        return f"{_FILE}{root}/{value.removeprefix(_FILE)}"
    return value


# -- the code ------------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _code(project: Project, origin: Origin, config: ProjectConfig) -> Iterator[tuple[Path, str, str]]:
    """Yield a folder with the code of the run, where it came from, and what could not be restored; remove it in the end."""
    code = origin.view.facts.code
    with scratch_folder(project.workspace, "reproduce-") as folder:
        try:
            changes = project.blobs.get(code.diff) if code.diff else b""
            root = check_out(project.root, code, changes, folder / "code")
        except DataError as error:
            _require_same_code(project, origin, config, error)
            yield project.root, "folder", f"{error.message}; the project's folder has the same code"
            return
        reads = {name: digest for each in _fingerprints(project, origin) for name, digest in each.reads.items()}
        lacking = carry_over(project.root, root, {**untracked(changes), **reads})
        yield root, "commit", f"no longer here as they were: {', '.join(sorted(lacking))}" if lacking else ""


def _fingerprints(project: Project, origin: Origin) -> Iterator[Fingerprint]:
    """Yield what the recorded results depended on, as far as it is stored."""
    from mlopsfw.pipeline.cache.events import Result

    for name in origin.finished:
        key = origin.step(name).fingerprint
        events = list(project.ledger.stream(f"step/{key}").events()) if key else []
        if events:
            yield Result.of(events[-1]).fingerprint


def _require_same_code(project: Project, origin: Origin, config: ProjectConfig, error: DataError) -> None:
    """Raise `DataError` unless the code that the recorded results depended on is that of the project's folder."""
    was = {each.step: each.code for each in _fingerprints(project, origin) if each.code}
    try:
        with Project.open(project.root, config=config, observe=project.observers) as here:
            prints, nodes = here.pipeline.fingerprinter(), here.pipeline.graph.nodes
            other = [name for name in was if prints.code(nodes[name]).digest != was[name]]
    except MlopsfwError:  # such as a module of the steps that is gone
        other = [*was]
    if other:
        raise DataError(
            f"{error.message}, and the code of {', '.join(other)} in {project.root} is not what run {origin.view.id} ran",
            hint=error.hint or "Keep the project in git: a run then records its commit, and what was not committed.",
        )


def _packages(project: Project, origin: Origin) -> dict[str, tuple[Any, Any]]:
    blob = origin.view.facts.environment
    then = msgspec.json.decode(project.blobs.get(blob), type=dict[str, str]) if blob else {}
    return differences(then, environment()) if then else {}
