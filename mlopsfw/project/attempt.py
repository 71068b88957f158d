"""One attempt of one step, run in this process. What the step raises becomes a `Failure`, and what it prints its log."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mlopsfw.kernel.roles.engine import StepResult, StepSpec
from mlopsfw.pipeline.graph.partnames import step_of
from mlopsfw.pipeline.graph.step import StepContext
from mlopsfw.pipeline.partitions.parts import Parts
from mlopsfw.pipeline.run.call import call_function, named_outputs
from mlopsfw.pipeline.run.failure import failure_of
from mlopsfw.pipeline.run.metrics import MetricLog, commit, logging_to

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.kernel.roles.event import Event
    from mlopsfw.pipeline.graph.model import Node
    from mlopsfw.project.wiring import Wiring

_LOG_LIMIT = 16 << 20

_appended: list[tuple[str, int]] = []
"""What the running step has appended to the ledger so far."""


def note(event: Event) -> None:
    """Note what is appended here instead of notifying observers: they live in the coordinator."""
    _appended.append((event.stream, event.seq))


@contextlib.contextmanager
def _as_if_alone(project: Wiring) -> Iterator[None]:
    """Give a step of a worker that is used again what the first one found: no trace of the step before it.

    Folder, environment, import path and the project's own modules are as they were; libraries stay imported.
    """
    environment, path, modules = dict(os.environ), list(sys.path), set(sys.modules)
    os.chdir(project.root)
    project.add_code_path()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:] = path
        roots = tuple(str((project.root / folder).resolve()) + os.sep for folder in project.config.code)
        for name in sys.modules.keys() - modules:
            file = getattr(sys.modules[name], "__file__", None) or ""
            if file.startswith(roots) and "site-packages" not in file:
                del sys.modules[name]


def node_name() -> str:
    """Return `host/pid`, or what `MLOPSFW_NODE` calls this node."""
    return f"{os.environ.get('MLOPSFW_NODE') or socket.gethostname()}/{os.getpid()}"


def run_step(project: Wiring, spec: StepSpec, *, debug: bool = False) -> StepResult:
    """Run one attempt in this process.

    Args:
        project: The project, open here.
        spec: What to run.
        debug: Leave the terminal to the step and let its exception pass, for a debugger.
    """
    attempt = _Attempt(project, spec, debug=debug)
    began = time.monotonic()
    outputs: dict[str, Artifact] = {}
    failure = None
    _appended.clear()
    try:
        with _as_if_alone(project), attempt.captured():
            outputs = attempt.run()
    except BaseException as error:
        if debug:
            raise
        failure = failure_of(error, project.root)
    logs = attempt.finish(succeeded=failure is None)
    return StepResult(
        outputs=outputs,
        failure=failure,
        node=node_name(),
        seconds=time.monotonic() - began,
        events=tuple(_appended),
        logs=logs,
        metrics=dict(attempt.metrics.last),
    )


class _Attempt:
    """One attempt's folders, log and metrics."""

    def __init__(self, project: Wiring, spec: StepSpec, *, debug: bool) -> None:
        self.project, self.spec, self.debug = project, spec, debug
        self.folder = step_folder(project, spec.run, spec.step)
        self.log_file = self.folder / "log.txt"
        self.metrics = MetricLog(self.folder / "metrics.jsonl", spec.step)

    @contextlib.contextmanager
    def captured(self) -> Iterator[None]:
        """Send what the process prints, from C code too, to the step's log."""
        if self.debug:
            yield
            return
        with self.log_file.open("wb", buffering=0) as log, _redirected(log.fileno()):
            yield

    def run(self) -> dict[str, Artifact]:
        node = self.project.pipeline.graph.nodes[step_of(self.spec.step)]
        if self.spec.joins:
            parts = Parts(self.project.values, self.project.datasets)
            return parts.join(self.spec.step, self.spec.outputs, self.spec.inputs)
        with tempfile.TemporaryDirectory(prefix="scratch-", dir=self.folder) as scratch, logging_to(self.metrics):
            context = self._context(node, Path(scratch))
            values = _call(node, context)
            store = self.project.values.store
            return {name: store(values[name], f"{self.spec.step}.{name}") for name in self.spec.outputs}

    def _context(self, node: Node, scratch: Path) -> StepContext:
        checkpoints = self.folder / f"checkpoints-{self.spec.fingerprint[:16]}"
        checkpoints.mkdir(mode=0o700, exist_ok=True)
        return StepContext(
            run=self.spec.run,
            step=self.spec.step,
            attempt=self.spec.attempt,
            inputs=self.spec.inputs,
            params=node.plain_params,
            scratch=scratch,
            checkpoints=checkpoints,
            datasets=self.project.datasets,
            models=self.project.registry,
            blobs=self.project.blobs,
            values=self.project.values,
            metrics=self.metrics,
            progress_file=self.folder / "progress.json",
        )

    def finish(self, *, succeeded: bool) -> str:
        """Store metrics and log; return the log's digest. The folder goes when the step has succeeded."""
        commit(self.project.services, self.spec.run, self.metrics, epoch=self.spec.epoch)
        logs = _store_log(self.project, self.log_file)
        if succeeded:
            shutil.rmtree(self.folder, ignore_errors=True)
        return logs


def step_folder(project: Wiring, run: str, step: str) -> Path:
    """Return the folder on this machine for a step that runs: log, metrics, progress, scratch, checkpoints."""
    return project.private_folder("runs", run, step)


def _call(node: Node, context: StepContext) -> Mapping[str, object]:
    if node.plugin is not None:
        return node.plugin.run(context)
    return named_outputs(call_function(node, context), node.outputs, node.config.python)


def _store_log(project: Wiring, file: Path) -> str:
    if not file.is_file() or file.stat().st_size == 0:
        return ""
    with file.open("rb") as log:
        log.seek(max(0, file.stat().st_size - _LOG_LIMIT))
        return project.blobs.put(log.read())


@contextlib.contextmanager
def _redirected(target: int) -> Iterator[None]:
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    os.dup2(target, 1)
    os.dup2(target, 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, descriptor in zip((1, 2), kept, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)
