"""A run outside of any pipeline: what a notebook or a script logs is kept like a step's."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, SupportsFloat, TypeVar

from mlopsfw.capturelog.disk import as_storage_error
from mlopsfw.kernel.base.errors import GateRefused, UsageError, text_of
from mlopsfw.kernel.base.ids import check_name, new_run_id
from mlopsfw.kernel.base.lazy import lazy
from mlopsfw.kernel.ledger.stream import Stream
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.kernel.roles.bundle import OutputColumn, SignatureColumn
from mlopsfw.lineage import canonical
from mlopsfw.lineage.references import is_reference
from mlopsfw.models.registry.versions import ModelVersion
from mlopsfw.pipeline.run.current import Current
from mlopsfw.pipeline.run.events import ArtifactLogged, ParamsLogged, RunFinished, RunStarted
from mlopsfw.pipeline.run.failure import failure_of
from mlopsfw.pipeline.run.liveness import identity
from mlopsfw.pipeline.run.metrics import MetricLog, commit, logging_to
from mlopsfw.pipeline.run.system import interval
from mlopsfw.project.facade import Project, opened

if TYPE_CHECKING:
    import polars as pl
else:
    pl = lazy("polars")

P = ParamSpec("P")
T = TypeVar("T")

_current: Current[start_run] = Current("runs")
_EXPORT = (
    "Save it in an open format first, such as ONNX, and give that file. In a pipeline, trainers do so by themselves."
)


def _checked_name(name: Any) -> str:
    try:
        name.encode("utf-8")
    except (AttributeError, UnicodeEncodeError):
        raise UsageError(f"a run cannot be called {name!r}", hint="Give it a text that UTF-8 can hold.") from None
    return str(name)


class start_run:  # noqa: N801 - reads as a call: with start_run("tuning") as run
    """Open a run outside of any pipeline, from a notebook or a script.

    Args:
        name: What to call it, for people.
        project: The project; the one at or above the current folder by default.
        params: Its parameters, as JSON values.
        system_seconds: Seconds between two samples of processor, memory and GPU; 0 for none, by default those of the environment
            variable `MLOPSFW_SYSTEM_METRICS`, or 10.

    The run is done when the block ends, and failed if it ends with an exception. Without a `with` block, call `end`.
    """

    def __init__(
        self,
        name: str = "",
        *,
        project: Project | str | Path | None = None,
        params: Mapping[str, Any] | None = None,
        system_seconds: float | None = None,
    ) -> None:
        self._system_seconds = interval(system_seconds)
        self.id, self.name = new_run_id(), _checked_name(name)
        self._params = checked_params(params or {})
        self._owned = not isinstance(project, Project)
        self._project = project if isinstance(project, Project) else Project.open(project)
        self._open = contextlib.ExitStack()
        self._began, self._ended, self._process = time.monotonic(), False, os.getpid()
        with as_storage_error("the log of the run"):
            self._log = MetricLog(self._project.private_folder("runs") / self.id / "metrics.jsonl")
        started = RunStarted(pipeline=self.name, params=self._params, kind="script", process=identity())
        self._stream.append(started, expecting=0)  # the id is new: nothing need be read first

    @property
    def _stream(self) -> Stream:
        return self._project.ledger.stream(f"run/{self.id}")

    def __enter__(self) -> Self:
        self._open.enter_context(logging_to(self._log, self.log_params, system_seconds=self._system_seconds))
        self._open.enter_context(_current.open(self))
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        try:
            self._open.close()
        finally:
            try:
                self.end(error)
            finally:
                if self._process == os.getpid():
                    self._let_go()

    def log_param(self, name: str, value: Any) -> None:
        """Record a parameter of this run, a JSON value; a later value of the same name counts."""
        self.log_params({name: value})

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record parameters of this run: name → JSON value. Raise `UsageError` or `DataError` for what cannot be kept."""
        self._append(ParamsLogged(params=checked_params(params)))

    def log_metric(self, name: str, value: SupportsFloat, step: float | None = None) -> None:
        """Record a metric of this run, as `mlopsfw.log_metric` does."""
        self._check_open()
        self._log.log(name, value, step)

    def log_metrics(self, metrics: Mapping[str, SupportsFloat], step: float | None = None) -> None:
        """Record several metrics of one step, or none of them if one cannot be kept."""
        self._log.log_all(metrics, step)

    def log_artifact(self, value: Any, name: str = "") -> Artifact:
        """Keep a value with this run, as `runs:/ID/NAME`.

        Args:
            value: The path of a file or folder, a table (Polars, Arrow or pandas), a figure (matplotlib, plotly or Pillow),
                or a JSON value that is no text.
            name: What the run calls it; by default the file's name. A table or JSON value needs one.

        Raises:
            UsageError: It has no name, or one that no reference can have.
            DataError: There is no such file, or no open format holds the value.
        """
        if isinstance(value, str):
            value = Path(value)
        name = name or (value.name if isinstance(value, Path) else "")
        if not name:
            kind = type(value).__name__
            raise UsageError(f"an artifact of type {kind} needs a name", hint='Write log_artifact(value, "name").')
        if not isinstance(name, str) or "/" in name or not is_reference(f"runs:/{self.id}/{name}"):
            raise UsageError(
                f"an artifact cannot be called {name!r}",
                hint='Begin with a letter or digit; spaces and . , + = @ ( ) [ ] ~ - _ may follow: log_artifact(value, "name").',
            )
        artifact = self._project.values.store(value, name)
        self._append(ArtifactLogged(name=name, artifact=artifact))
        return artifact

    def log_model(
        self,
        name: str,
        file: str | Path,
        *,
        rows: Any = None,
        task: str = "",
        target: str = "",
        inputs: tuple[SignatureColumn, ...] = (),
        classes: tuple[str | int | bool, ...] = (),
        outputs: tuple[OutputColumn, ...] = (),
        logits: bool = False,
        format: str = "",  # noqa: A002 - what it is
        metrics: Mapping[str, float] | None = None,
        message: str = "",
    ) -> ModelVersion:
        """Register a model file as the next version of a model. It is loaded and asked for its answers first.

        Args:
            name: The model's name.
            file: The model in an open format, such as `model.onnx`, `model.skops`, LightGBM's text or XGBoost's JSON or UBJ. An
                export of torch (`.pt2`) is converted to ONNX in a process of its own.
            rows: The table that it learned from. Its columns but the target are the model's inputs; the bundle keeps
                statistics of them, and no row. Without it there is nothing that monitors could compare with.
            task: `binary`, `multiclass`, `regression`, or any other word; by default what the file says.
            target: The label's column, if `rows` has it.
            inputs: The columns that a request has; by default those of `rows`, else what the file says.
            classes: The label values in the order of the outputs; for binary `(negative, positive)`.
            outputs: The model's outputs in order; by default those of the task.
            logits: Whether a classifier answers with logits, as most modules of torch do: they become probabilities.
            format: The format; by default what the file's suffix stands for. A plugin loads it.
            metrics: The metrics of its evaluation.
            message: Why, for people.

        Raises:
            UsageError: It is no file, such as a model object of a library, or the file does not say what is not given.
            UnknownFormat: No installed plugin loads it.
            BundleError: It is not what its suffix says, holds code, or does not answer as declared.
        """
        from mlopsfw.models.adoption import format_of
        from mlopsfw.project.logged_model import ModelFile, registered_file

        self._check_open()
        check_name(name, "model")
        path = _file_of(file)
        model = ModelFile(
            file=path,
            format=format or format_of(path),
            task=task,
            target=target,
            inputs=inputs,
            classes=classes,
            outputs=outputs,
            logits=logits,
            metrics=metrics or {},
        )
        return registered_file(self._project, name, model, rows, run=self.id, message=message)

    def end(self, error: BaseException | None = None) -> None:
        """End the run: done, interrupted by Ctrl-C, or failed with `error`. A second call does nothing, nor does one of a forked process.

        Where it raises, since the storage cannot be reached, the run has not ended: call it again.
        """
        if self._ended or self._process != os.getpid():
            return
        commit(self._project.services, self.id, self._log)
        with contextlib.suppress(OSError):  # a file that someone put beside the log
            self._log.file.parent.rmdir()
        finished = _outcome(error, self._project.root, time.monotonic() - self._began)
        self._stream.seal(finished)
        self._ended = True
        self._let_go()

    def _let_go(self) -> None:
        if self._owned:
            self._project.close()

    def _append(self, record: ParamsLogged | ArtifactLogged) -> None:
        self._check_open()
        self._stream.append(record)

    def _check_open(self) -> None:
        if self._ended:
            raise UsageError(f"the run {self.id} has ended", hint="Log inside its `with` block, or open another run.")

    def _repr_html_(self) -> str:
        from mlopsfw.pipeline.run.notebook import run_html

        runs = self._project.runs
        return run_html(runs.get(self.id), runs.metrics(self.id))


def _file_of(model: object) -> Path:
    """Return the path that `log_model` was given. Raise `UsageError` for anything else, such as an estimator."""
    if not isinstance(model, str | Path):
        raise UsageError(f"log_model takes the file of a model, not a {type(model).__name__}", hint=_EXPORT)
    return Path(model)


def _outcome(error: BaseException | None, root: Path, seconds: float) -> RunFinished:
    """Return what to record of a run that ended with `error`."""
    if error is None or (isinstance(error, SystemExit) and not error.code):
        return RunFinished(status="done", exit_code=0, seconds=seconds)
    code = failure_of(error, root).exit_code
    status = {130: "interrupted", GateRefused.exit_code: "refused"}.get(code, "failed")
    name, _, text = text_of(error).partition(": ")
    return RunFinished(status=status, exit_code=code, seconds=seconds, error=name, message=text)


def checked_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as JSON values; infinity and NaN as texts such as "inf", as events have them.

    Raise `UsageError` for a name or for what is no mapping, `DataError` for a value that cannot be kept.
    """
    if not isinstance(params, Mapping):
        raise UsageError(f"parameters are names with values, not {params!r}", hint='Write log_params({"rate": 0.1}).')
    for name in params:
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise UsageError(f"a parameter cannot be called {name!r}", hint='Write log_param("rate", 0.1).')
    plain: dict[str, Any] = canonical.finite(canonical.decode(canonical.encode(dict(params), "params")))
    return plain


def _of_current(method: Callable[Concatenate[start_run, P], T]) -> Callable[P, T]:
    """Return a function that calls a method of the run that `start_run` opened."""

    @functools.wraps(method)
    def function(*args: P.args, **kwargs: P.kwargs) -> T:
        return method(_run(method.__name__), *args, **kwargs)

    whole = inspect.signature(method)
    function.__signature__ = whole.replace(parameters=list(whole.parameters.values())[1:])  # type: ignore[attr-defined]
    return function


log_param = _of_current(start_run.log_param)
log_params = _of_current(start_run.log_params)
log_artifact = _of_current(start_run.log_artifact)
log_model = _of_current(start_run.log_model)


def search_runs(
    name: str = "",
    *,
    status: str = "",
    where: str = "",
    limit: int = 1000,
    project: Project | str | Path | None = None,
) -> pl.DataFrame:
    """Return runs as a table, newest first, to filter and sort with Polars.

    Args:
        name: Only runs called so: the name given to `start_run`, or a pipeline's.
        status: Only runs of this status: `running`, `done`, `failed`, `refused` or `interrupted`.
        where: Only runs that meet this filter, such as `loss<0.5 optimizer=adam night`: words that a run holds, and conditions with <, <=, >,
            >=, = or != on a column, for which the end of its name is enough. Quotes hold blanks together.
        limit: How many runs at most.
        project: The project; the one at or above the current folder by default.

    Returns:
        A row for each run: `run`, `name`, `status`, `started` (UTC), `seconds`, `actor` (an id), a column `params.NAME` for each
        parameter and `metrics.NAME` for the last value of each metric; of a pipeline `params.STEP.NAME` and `metrics.STEP.NAME`.

    Raises:
        UsageError: There is no such status or column, `limit` is not positive, or a quote in `where` is not closed.
    """
    from mlopsfw.pipeline.run.conditions import filtered
    from mlopsfw.pipeline.run.search import as_frame

    with opened(project) as here:
        records = here.runs.search(name, status=status, limit=1 << 32 if where and limit > 0 else limit)
    return as_frame((filtered(records, where) if where else records)[:limit])


def _run(function: str) -> start_run:
    run = _current.get()
    if run is None:
        raise UsageError(
            f"{function} was called outside of a run that start_run opened",
            hint='Wrap it: with mlopsfw.start_run("name"): … A step of a pipeline has its parameters in mlopsfw.toml, and returns what it makes.',
        )
    return run
