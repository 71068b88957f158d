"""Write runs and models of MLflow into a project. A second import adds nothing, and one that was stopped goes on where it ended.

The id of an imported run follows from MLflow's, and its events have a fixed order, so what is there already is known by its number.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec

from mlopsfw.kernel.base.errors import MlopsfwError, UsageError
from mlopsfw.kernel.base.ids import check_name, new_run_id
from mlopsfw.lineage.codestate import CodeRecord
from mlopsfw.lineage.references import is_reference
from mlopsfw.models.mlflow_model import flavour_file
from mlopsfw.models.registry.catalog import check_alias
from mlopsfw.pipeline.run.events import (
    ArtifactLogged,
    MetricsRecorded,
    RunFinished,
    RunsImported,
    RunStarted,
    as_values,
)
from mlopsfw.pipeline.run.metrics import Metric
from mlopsfw.project.bundle_subprocess import make_bundle_in_subprocess
from mlopsfw.project.logged_model import ModelFile, registered_file
from mlopsfw.project.mlflow.database import Database
from mlopsfw.project.mlflow.files import FileStore
from mlopsfw.project.mlflow.places import Places

if TYPE_CHECKING:
    from mlopsfw.kernel.events.record import EventRecord
    from mlopsfw.project.facade import Project
    from mlopsfw.project.mlflow.records import SourceMetric, SourceRun, SourceVersion, TrackingStore

_ENDS = {"FINISHED": ("done", 0), "FAILED": ("failed", 1), "KILLED": ("interrupted", 130)}
_SEGMENT = 100_000  # metrics of one blob
_LONGEST_NAME = 250
_COMMIT = re.compile(r"[0-9a-f]{40}")
_INTEGER, _DECIMAL = re.compile(r"-?(?:0|[1-9]\d{0,14})"), re.compile(r"-?\d{1,17}(?:\.\d{0,17})?(?:[eE][+-]?\d{1,3})?")
_SQLITE = "sqlite:///"


class ImportedRun(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a run.

    Args:
        mlflow: MLflow's id.
        run: Ours.
        name: The name of its experiment.
        state: `new`, `present` already, or `skipped`.
        why: Why it was skipped, or which artifacts were not taken, and why.
    """

    mlflow: str
    run: str
    name: str
    state: str
    why: tuple[str, ...] = ()


class ImportedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a version of a model.

    Args:
        mlflow: `NAME/NUMBER` in MLflow.
        ref: Our reference; empty where it was not imported.
        aliases: The aliases that now point at it.
        state: `new`, `present` already, or `skipped`.
        why: Why it was skipped.
    """

    mlflow: str
    ref: str = ""
    aliases: tuple[str, ...] = ()
    state: str
    why: str = ""


class MlflowImport(msgspec.Struct, frozen=True, kw_only=True):
    """What was imported; with `dry_run` what would be.

    Args:
        runs: The runs.
        models: The versions of models.
        dry_run: Whether nothing was written.
    """

    runs: tuple[ImportedRun, ...]
    models: tuple[ImportedVersion, ...]
    dry_run: bool


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """How to import.

    Args:
        artifacts: The folder of the artifacts; by default that of the store.
        unfinished: Take also runs that have not ended, as interrupted ones.
        most: The largest artifact in bytes.
        dry_run: Write nothing.
    """

    artifacts: Path | None = None
    unfinished: bool = False
    most: int = 1 << 30
    dry_run: bool = False


def open_store(place: str) -> TrackingStore:
    """Open the folder `mlruns`, or the database, that a path or `sqlite:///FILE` names. Raise `UsageError` if it is none."""
    path = Path(unquote(place.removeprefix(_SQLITE)) if place.startswith(_SQLITE) else place)
    if path.is_dir():
        return FileStore(path)
    if path.is_file():
        return Database(path)
    raise UsageError(f"there is no {path}", hint="Name a folder mlruns, a file mlflow.db, or sqlite:///FILE.")


def import_mlflow(project: Project, store: TrackingStore, choices: Choices) -> MlflowImport:
    """Import the runs of a store, then its models. Observers get one event for all the runs, and each version of a model."""
    importer = _Importer(project, store, choices)
    with project.unobserved():
        runs = tuple(importer.run(run) for run in store.runs())
    if (new := sorted(run.run for run in runs if run.state == "new")) and not choices.dry_run:
        record = RunsImported(runs=len(new), first=new[0], last=new[-1])
        project.ledger.stream("import/mlflow").append(record)
    models = tuple(importer.version(version) for version in store.versions())
    return MlflowImport(runs=runs, models=models, dry_run=choices.dry_run)


class _Importer:
    def __init__(self, project: Project, store: TrackingStore, choices: Choices) -> None:
        self._project, self._store, self._choices = project, store, choices
        self._places = Places(choices.artifacts or store.folder)
        self._runs: dict[str, SourceRun] = {}
        self._models: dict[str, str] = {}

    # -- runs ------------------------------------------------------------------------------------------------------------------

    def run(self, run: SourceRun) -> ImportedRun:
        """Import one run."""
        self._runs[run.id] = run
        result = ImportedRun(mlflow=run.id, run=our_id(run), name=run.experiment, state="new")
        if run.status not in _ENDS and not self._choices.unfinished:
            why = f"it is {run.status.lower()}: import it after its end, or with --unfinished"
            return msgspec.structs.replace(result, state="skipped", why=(why,))
        stream = self._project.ledger.stream(f"run/{result.run}")
        events = list(stream.events())
        if events and events[-1].type == RunFinished.type:
            return msgspec.structs.replace(result, state="present")
        artifacts, problems = self._artifacts(run)
        if not self._choices.dry_run:
            for record in itertools.islice(self._records(run, artifacts), len(events), None):
                stream.append(record, expecting=0 if isinstance(record, RunStarted) else None)
            stream.seal(_end(run))
        return msgspec.structs.replace(result, why=tuple(problems))

    def _records(self, run: SourceRun, artifacts: list[Path]) -> Iterator[EventRecord]:
        """Yield the events of a run but the last, always in the same order."""
        yield _start(run)
        yield from self._segments(run)
        for path in artifacts:
            yield ArtifactLogged(name=path.name, artifact=self._project.values.store(path, path.name))

    def _segments(self, run: SourceRun) -> Iterator[MetricsRecorded]:
        encoder = msgspec.json.Encoder()
        metrics = (metric for metric in self._store.metrics(run) if _is_name(metric.name))
        while part := list(itertools.islice(metrics, _SEGMENT)):
            blob = self._project.blobs.put(b"".join(encoder.encode(_metric(metric)) + b"\n" for metric in part))
            last = as_values({metric.name: metric.value for metric in part})
            yield MetricsRecorded(blob=blob, count=len(part), last=last)

    def _artifacts(self, run: SourceRun) -> tuple[list[Path], list[str]]:
        """Return the artifacts of a run that can be kept, and why others cannot."""
        if not run.artifact_uri:
            return [], []
        try:
            folder = self._places.find(run.artifact_uri, run.id)
        except MlopsfwError as error:
            return [], [] if self._places.is_below(run.artifact_uri) else [f"artifacts: {error.message}"]
        kept, problems = [], []
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            try:
                self._check_artifact(path)
                kept.append(path)
            except MlopsfwError as error:
                problems.append(f"artifact {path.name}: {error.message}")
        return kept, problems

    def _check_artifact(self, path: Path) -> None:
        self._places.check_tree(path, self._choices.most)
        if not is_reference(f"runs:/latest/{path.name}"):
            raise UsageError("no reference can have its name")

    # -- models ----------------------------------------------------------------------------------------------------------------

    def version(self, version: SourceVersion) -> ImportedVersion:
        """Import one version of a model, if its flavour is of an open format."""
        result = ImportedVersion(mlflow=f"{version.model}/{version.version}", state="new")
        try:
            run = self._runs.get(version.run)
            folder = self._places.find(version.source, version.run, run.artifact_uri if run else "")
            self._places.check_tree(folder, self._choices.most)
            flavour, name = flavour_file(folder), self._name(version.model)
            if self._choices.dry_run:
                return result
            model = ModelFile(file=flavour.file, format=flavour.format, inputs=flavour.inputs)
            message = f"MLflow {result.mlflow}"
            ours = registered_file(
                self._project,
                name,
                model,
                None,
                run=our_id(run) if run else "",
                message=message,
                make=make_bundle_in_subprocess,
            )
        except MlopsfwError as error:
            return msgspec.structs.replace(result, state="skipped", why=error.message)
        aliases = tuple(alias for alias in version.aliases if self._point(ours.name, alias, ours.version))
        return msgspec.structs.replace(result, ref=ours.ref, aliases=aliases, state="new" if ours.new else "present")

    def _name(self, model: str) -> str:
        """Return what a model is called here. Raise `UsageError` where another model of MLflow has that name here already."""
        name = check_name(re.sub(r"[^a-z0-9._-]+", "-", model.lower()).strip("-."), "model")
        if self._models.setdefault(name, model) != model:
            hint = "Rename one of them in MLflow."
            raise UsageError(f"it would be called {name}, as {self._models[name]!r} is", hint=hint)
        return name

    def _point(self, name: str, alias: str, version: int) -> bool:
        """Point an alias that was never moved here at a version; return whether it points there."""
        try:
            check_alias(alias)
        except UsageError:
            return False
        model = self._project.registry.model(name)
        if all(move.alias != alias for move in model.moves):
            self._project.registry.promote(name, version, alias, reason="MLflow")
            return True
        return model.aliases().get(alias) == version


def our_id(run: SourceRun) -> str:
    """Return the id of a run of MLflow here: it sorts by the time of its start, and is always the same."""
    now = int(time.time() * 1000)
    return new_run_id(min(max(run.started, 0), now), hashlib.sha256(f"mlflow:{run.id}".encode()).digest())


def _start(run: SourceRun) -> RunStarted:
    tags = {f"tag {name}": text for name, text in run.tags.items() if not name.startswith("mlflow.")}
    named = {"mlflow_run": run.id} | ({"mlflow_name": run.name} if run.name else {})
    if parent := run.tags.get("mlflow.parentRunId"):
        named["mlflow_parent"] = parent
    params = {**named, **{name: _value(text) for name, text in run.params.items()}, **tags}
    commit = run.tags.get("mlflow.source.git.commit", "")
    return RunStarted(
        pipeline=run.experiment,
        params={name: value for name, value in params.items() if name.strip() and name.isprintable()},
        kind="script",
        code=CodeRecord(commit=commit if _COMMIT.fullmatch(commit) else ""),
        began=datetime.fromtimestamp(max(run.started, 0) / 1000, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z"),
    )


def _end(run: SourceRun) -> RunFinished:
    status, code = _ENDS.get(run.status, _ENDS["KILLED"])
    seconds = max(0, run.finished - run.started) / 1000 if run.finished else 0.0
    return RunFinished(
        status=status, exit_code=code, seconds=seconds, message="" if code == 0 else f"MLflow says {run.status}"
    )


def _metric(metric: SourceMetric) -> Metric:
    value = metric.value if math.isfinite(metric.value) else str(metric.value)
    return Metric(metric.name, value, metric.step, metric.time)


def _is_name(name: str) -> bool:
    return bool(name.strip()) and len(name) <= _LONGEST_NAME and name.isprintable()


def _value(text: str) -> Any:
    """Return the number that a parameter's text is, so that it can be compared; else the text."""
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text) and math.isfinite(number := float(text)) and not re.match(r"-?0\d", text):
        return number
    return text
