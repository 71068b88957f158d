"""MLflow's folder `mlruns`: YAML files for experiments, runs and models, and a file for each parameter, tag and metric."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.models.mlflow_model import read_yaml
from mlopsfw.project.mlflow.records import (
    STATUSES,
    SourceMetric,
    SourceRun,
    SourceVersion,
    aliases_of,
    integer,
    milliseconds,
)

_META = "meta.yaml"
_LONGEST = 1 << 16
_FIELDS = 2  # a time and a value; since MLflow 1.0 a step follows


class FileStore:
    """A folder `mlruns`. Links in it are not followed.

    Args:
        folder: The folder.

    Raises:
        UsageError: There is no experiment in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder = Path(os.path.realpath(folder))
        self._experiments = [each for each in _folders(folder) if _is_file(each / _META) and each.name != "models"]
        if not self._experiments:
            inner = " Name the folder mlruns in it." if (folder / "mlruns").is_dir() else ""
            raise UsageError(f"{folder} holds no experiment of MLflow", hint=f"Name a folder mlruns.{inner}")
        self._folders: dict[str, Path] = {}

    def runs(self) -> Iterator[SourceRun]:
        """Yield the runs that were not deleted, the oldest first."""
        runs = [run for folder in self._experiments for run in self._of(folder)]
        yield from sorted(runs, key=lambda run: (run.started, run.id))

    def _of(self, folder: Path) -> Iterator[SourceRun]:
        experiment = read_yaml(folder / _META)
        if experiment.get("lifecycle_stage", "active") != "active":
            return
        for place in _folders(folder):
            meta = read_yaml(place / _META) if _is_file(place / _META) else {}
            if "run_id" in meta or "run_uuid" in meta:
                run = _run(meta, str(experiment.get("name", folder.name)), place)
                self._folders[run.id] = place
                if meta.get("lifecycle_stage", "active") == "active":
                    yield run

    def metrics(self, run: SourceRun) -> Iterator[SourceMetric]:
        """Yield the numbers that a run logged. Lines that are no metric are passed over."""
        for name, file in _named(self._folders[run.id] / "metrics"):
            with file.open("rb") as stream:
                for line in iter(lambda: stream.readline(_LONGEST), b""):
                    fields = line.split()
                    try:
                        step = int(fields[_FIELDS]) if len(fields) > _FIELDS else 0
                        moment = milliseconds(int(fields[0]))
                        yield SourceMetric(name, float(fields[1]), integer(step), moment / 1000)
                    except (ValueError, IndexError):
                        continue

    def versions(self) -> Iterator[SourceVersion]:
        """Yield the versions of models, by name and number."""
        for model in _folders(self.folder / "models"):
            numbers = [each for each in _folders(model) if _is_file(each / _META) and each.name.startswith("version-")]
            pointed = {name: text.strip() for name, text in _texts(model / "aliases").items()}
            metas = [read_yaml(each / _META) for each in numbers]
            for meta in sorted(metas, key=lambda each: integer(each.get("version"))):
                number = integer(meta.get("version"))
                named = [name for name, at in pointed.items() if at == str(number)]
                yield SourceVersion(
                    model=str(meta.get("name", model.name)),
                    version=number,
                    source=str(meta.get("storage_location") or meta.get("source") or ""),
                    run=str(meta.get("run_id") or ""),
                    aliases=aliases_of(named, str(meta.get("current_stage") or "")),
                )


def _run(meta: dict[str, Any], experiment: str, folder: Path) -> SourceRun:
    status = meta.get("status")
    own = folder / "artifacts"
    tags = _texts(folder / "tags")
    return SourceRun(
        id=str(meta.get("run_id") or meta.get("run_uuid")),
        name=str(meta.get("run_name") or tags.get("mlflow.runName", "")),
        experiment=experiment,
        status=STATUSES[status - 1] if isinstance(status, int) and 0 < status <= len(STATUSES) else "RUNNING",
        started=milliseconds(meta.get("start_time")),
        finished=milliseconds(meta.get("end_time")),
        params=_texts(folder / "params"),
        tags=tags,
        artifact_uri=str(own) if own.is_dir() else str(meta.get("artifact_uri") or ""),
    )


def _texts(folder: Path) -> dict[str, str]:
    return {name: _read(file) for name, file in _named(folder)}


def _read(file: Path) -> str:
    with file.open("rb") as stream:
        return stream.read(_LONGEST).decode("utf-8", "replace")


def _named(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files in a folder and its folders: a name may hold slashes."""
    for above, folders, names in [] if folder.is_symlink() else os.walk(folder, followlinks=False):
        folders.sort()
        for name in sorted(names):
            file = Path(above, name)
            if _is_file(file):
                yield file.relative_to(folder).as_posix(), file


def _folders(folder: Path) -> list[Path]:
    try:
        entries = [] if folder.is_symlink() else sorted(folder.iterdir())
    except OSError:
        return []
    return [each for each in entries if each.is_dir() and not each.is_symlink() and not each.name.startswith(".")]


def _is_file(file: Path) -> bool:
    return file.is_file() and not file.is_symlink()
