"""One attempt of one step, run in this process. What the step raises becomes a `Failure`, and what it prints its log."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeVar

from mlopsfw.capturelog.disk import full_as_storage_error
from mlopsfw.kernel.roles.engine import StepResult, StepSpec
from mlopsfw.operations.scratch import scratch_folder
from mlopsfw.pipeline.graph.partnames import step_of
from mlopsfw.pipeline.graph.step import StepContext
from mlopsfw.pipeline.partitions.parts import Parts
from mlopsfw.pipeline.run.attempt import checkpoints_of
from mlopsfw.pipeline.run.call import call_function, named_outputs
from mlopsfw.pipeline.run.failure import failure_of
from mlopsfw.pipeline.run.metrics import MetricLog, commit, logging_to
from mlopsfw.pipeline.run.source_imports import SourceImports

if TYPE_CHECKING:
    from mlopsfw.data.datasets import Datasets
    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.kernel.roles.engine import Launcher
    from mlopsfw.kernel.services import Services
    from mlopsfw.models.registry import Registry
    from mlopsfw.pipeline.graph.model import Node
    from mlopsfw.pipeline.run.session import Sessions
    from mlopsfw.pipeline.values.codec import Values

_LOG_LIMIT = 16 << 20

T = TypeVar("T")


def node_name() -> str:
    """Return `host/pid`, or what `MLOPSFW_NODE` calls this node."""
    return f"{os.environ.get('MLOPSFW_NODE') or socket.gethostname()}/{os.getpid()}"


class StepRunner:
    """Runs attempts of steps in this process.

    Args:
        services: The kernel's services.
        sessions: Have the graph of the pipeline.
        datasets, models, values: What a step may use.
    """

    def __init__(
        self, services: Services, sessions: Sessions, datasets: Datasets, models: Registry, values: Values
    ) -> None:
        self._services, self._sessions = services, sessions
        self._datasets, self._models, self._values = datasets, models, values

    def run(
        self,
        spec: StepSpec,
        code: Sequence[str],
        *,
        debug: bool = False,
        shared: bool = False,
        launcher: Launcher | None = None,
    ) -> StepResult:
        """Run one attempt.

        Args:
            spec: What to run.
            code: The folders of the project's own modules, relative to its root.
            debug: Leave the terminal to the step and let its exception pass, for a debugger.
            shared: Leave alone what other attempts in this process use too: folder, environment and output.
            launcher: Starts processes of the step on several nodes, if the engine can.
        """
        root = self._services.workspace.root
        folders = [str((root / folder).resolve()) for folder in code]
        folder = self._services.workspace.private_folder("runs", spec.run, spec.step)
        metrics, log = MetricLog(folder / "metrics.jsonl", spec.step), folder / "log.txt"
        began = time.monotonic()
        outputs: dict[str, Artifact] = {}
        failure = None
        try:
            alone = _shared_process(folders) if shared else _as_if_alone(root, folders)
            with alone as packages, contextlib.nullcontext() if debug or shared else _captured(log):
                outputs = self._outputs(spec, folder, metrics, packages, launcher, debug=debug)
        except BaseException as error:
            if debug:
                raise
            failure = failure_of(error, root)
        last = commit(self._services, spec.run, metrics, epoch=spec.epoch)
        logs = self._store_log(log)
        if failure is None:
            shutil.rmtree(folder, ignore_errors=True)
        return StepResult(
            outputs=outputs,
            failure=failure,
            node=node_name(),
            seconds=time.monotonic() - began,
            logs=logs,
            metrics=last,
        )

    def _outputs(
        self,
        spec: StepSpec,
        folder: Path,
        metrics: MetricLog,
        packages: list[str],
        launcher: Launcher | None,
        *,
        debug: bool,
    ) -> dict[str, Artifact]:
        node = self._sessions.graph.nodes[step_of(spec.step)]
        if node.config.python:  # a plugin's step is in no module of the project's
            packages.append(_top(node.config.python.partition(":")[0]))
        if spec.joins:
            return Parts(self._values, self._datasets).join(spec.step, spec.outputs, spec.inputs)
        place = scratch_folder(self._services.workspace, "step-")
        with full_as_storage_error(), place as scratch, logging_to(metrics):
            context = self._context(spec, node, folder, scratch, metrics)
            context = replace(context, launcher=launcher, debug=debug)
            values = _in_this_process(partial(_call, node, context))
            return {name: self._values.store(values[name], f"{spec.step}.{name}") for name in spec.outputs}

    def _context(self, spec: StepSpec, node: Node, folder: Path, scratch: Path, metrics: MetricLog) -> StepContext:
        checkpoints = folder / checkpoints_of(spec.fingerprint)
        checkpoints.mkdir(mode=0o700, exist_ok=True)
        return StepContext(
            run=spec.run,
            step=spec.step,
            attempt=spec.attempt,
            inputs=spec.inputs,
            params=node.plain_params,
            resources=spec.resources,
            scratch=scratch,
            checkpoints=checkpoints,
            datasets=self._datasets,
            models=self._models,
            blobs=self._services.blobs,
            values=self._values,
            metrics=metrics,
            progress_file=folder / "progress.json",
        )

    def _store_log(self, file: Path) -> str:
        if not file.is_file() or file.stat().st_size == 0:
            return ""
        with file.open("rb") as log:
            log.seek(max(0, file.stat().st_size - _LOG_LIMIT))
            return self._services.blobs.put(log.read())


def _in_this_process(call: Callable[[], T]) -> T:
    """Return what `call` returns. A process that was forked within it and comes back ends here: it is not the step's.

    One that calls `sys.exit` ends with the code that it names, as it would without a step around it.
    """
    process, code = os.getpid(), None
    try:
        return call()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        raise
    finally:
        if os.getpid() != process:
            if code is None:
                sys.stderr.write(f"process {os.getpid()}, forked by the step, returned from it, and was ended\n")
                sys.stderr.flush()
            os._exit(1 if code is None else code)


def _call(node: Node, context: StepContext) -> Mapping[str, object]:
    if node.plugin is not None:
        return node.plugin.run(context)
    return named_outputs(call_function(node, context), node.outputs, node.config.python)


class _ImportPath:
    """The folders that attempts in this process have put on the import path, each until the last of its attempts ends."""

    def __init__(self) -> None:
        self._users: dict[str, int] = {}
        self._lock = threading.Lock()

    def add(self, folders: Sequence[str]) -> list[str]:
        """Put folders in front that are not there; return those that `remove` must be given."""
        with self._lock:
            ours = [folder for folder in folders if folder in self._users or folder not in sys.path]
            sys.path[:0] = [folder for folder in ours if folder not in self._users]
            for folder in ours:
                self._users[folder] = self._users.get(folder, 0) + 1
            return ours

    def remove(self, folders: Sequence[str]) -> None:
        """Take folders away that no other attempt uses."""
        with self._lock:
            for folder in folders:
                self._users[folder] -= 1
                if not self._users[folder]:
                    del self._users[folder]
                    with contextlib.suppress(ValueError):  # a step took it away itself
                        sys.path.remove(folder)


_IMPORT_PATH = _ImportPath()


@contextlib.contextmanager
def _shared_process(code: Sequence[str]) -> Iterator[list[str]]:
    """Let a step find the project's modules while it runs, and change nothing else of a process that others use."""
    added = _IMPORT_PATH.add(code)
    try:
        yield []
    finally:
        _IMPORT_PATH.remove(added)


@contextlib.contextmanager
def _as_if_alone(root: Path, code: Sequence[str]) -> Iterator[list[str]]:
    """Give a step of a worker that is used again what the first one found: no trace of the step before it.

    Folder, environment, import path and the project's own modules are as they were; libraries stay imported. Modules that the
    process imported before an edit, or from a folder of another project, are out of the way meanwhile. Yields a list for the
    names of packages whose modules may be edited before the next step: those of an editable installation go too.
    """
    edited = SourceImports(code)
    aside = edited.outdated()
    for name in aside:
        del sys.modules[name]
    environment, path, modules = dict(os.environ), list(sys.path), set(sys.modules)
    sys.path[:0] = [folder for folder in code if folder not in sys.path]
    sys.meta_path.insert(0, edited)
    try:
        with contextlib.chdir(root):
            yield edited.packages
    finally:
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not edited]
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:] = path
        for name in sys.modules.keys() - modules:
            if edited.covers(name, getattr(sys.modules[name], "__file__", None) or ""):
                del sys.modules[name]
        sys.modules.update(aside)


def _top(name: str) -> str:
    return name.partition(".")[0]


@contextlib.contextmanager
def _captured(file: Path) -> Iterator[None]:
    """Send what the process prints, from C code too, to the step's log."""
    with file.open("wb", buffering=0) as log, _redirected(log.fileno()), _as_utf8(sys.stdout), _as_utf8(sys.stderr):
        yield


@contextlib.contextmanager
def _as_utf8(stream: TextIO) -> Iterator[None]:
    """Write UTF-8, as logs are read, whatever the terminal's encoding is."""
    if not isinstance(stream, TextIOWrapper):
        yield
        return
    encoding, errors = stream.encoding, stream.errors
    stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        yield
    finally:
        stream.reconfigure(encoding=encoding, errors=errors)


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
