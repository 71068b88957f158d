"""MLflow's SQLite database, opened to be read alone. Columns of later versions of MLflow are not needed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.project.mlflow.records import (
    STATUSES,
    SourceMetric,
    SourceRun,
    SourceVersion,
    aliases_of,
    integer,
    milliseconds,
)

_RUNS = """
SELECT r.run_uuid, r.name, e.name AS experiment, r.status, r.start_time, r.end_time, r.artifact_uri
FROM runs r JOIN experiments e USING (experiment_id)
WHERE r.lifecycle_stage = 'active' AND e.lifecycle_stage = 'active' ORDER BY r.start_time, r.run_uuid
"""
_METRICS = "SELECT key, value, timestamp, step, is_nan FROM metrics WHERE run_uuid = ? ORDER BY timestamp, step"
_VERSIONS = "SELECT * FROM model_versions WHERE current_stage <> 'Deleted_Internal' ORDER BY name, version"


class Database:
    """A database.

    Args:
        file: Its file.

    Raises:
        UsageError: It is none of MLflow's.
    """

    def __init__(self, file: Path) -> None:
        self._file, self.folder = file, file.absolute().parent
        try:
            self._db = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA trusted_schema = OFF")
            self._tables = {row[0] for row in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        except sqlite3.Error as error:
            raise UsageError(f"{file} is no SQLite database: {error}") from None
        self._db.text_factory = lambda text: text.decode("utf-8", "replace")
        if not {"runs", "experiments", "params", "metrics", "tags"} <= self._tables:
            raise UsageError(
                f"{file} has not the tables of MLflow's tracking", hint="Name its file, such as mlflow.db."
            )

    def _rows(self, query: str, *values: str) -> Iterator[sqlite3.Row]:
        try:
            yield from self._db.execute(query, values)
        except sqlite3.Error as error:
            raise UsageError(
                f"{self._file} is damaged, or not of a version of MLflow that is understood: {error}"
            ) from None

    def runs(self) -> Iterator[SourceRun]:
        """Yield the runs that were not deleted, the oldest first."""
        for row in list(self._rows(_RUNS)):
            run = str(row["run_uuid"])
            yield SourceRun(
                id=run,
                name=str(row["name"] or ""),
                experiment=str(row["experiment"]),
                status=row["status"] if row["status"] in STATUSES else "RUNNING",
                started=milliseconds(row["start_time"]),
                finished=milliseconds(row["end_time"]),
                params=self._texts("params", run),
                tags=self._texts("tags", run),
                artifact_uri=str(row["artifact_uri"] or ""),
            )

    def _texts(self, table: str, run: str) -> dict[str, str]:
        rows = self._rows(f"SELECT key, value FROM {table} WHERE run_uuid = ? ORDER BY key", run)  # noqa: S608 - ours
        return {str(row["key"]): str(row["value"] or "") for row in rows}

    def metrics(self, run: SourceRun) -> Iterator[SourceMetric]:
        """Yield the numbers that a run logged."""
        for row in self._rows(_METRICS, run.id):
            if isinstance(row["value"], float | int):
                value = float("nan") if row["is_nan"] else float(row["value"])
                yield SourceMetric(str(row["key"]), value, integer(row["step"]), milliseconds(row["timestamp"]) / 1000)

    def versions(self) -> Iterator[SourceVersion]:
        """Yield the versions of models, by name and number."""
        if "model_versions" not in self._tables:
            return
        pointed: dict[tuple[str, int], list[str]] = {}
        if "registered_model_aliases" in self._tables:
            for row in self._rows("SELECT name, alias, version FROM registered_model_aliases ORDER BY alias"):
                pointed.setdefault((str(row["name"]), integer(row["version"])), []).append(str(row["alias"]))
        for row in list(self._rows(_VERSIONS)):
            each: dict[str, Any] = dict(row)
            name, number = str(each["name"]), integer(each["version"])
            yield SourceVersion(
                model=name,
                version=number,
                source=str(each.get("storage_location") or each.get("source") or ""),
                run=str(each.get("run_id") or ""),
                aliases=aliases_of(pointed.get((name, number), []), str(each.get("current_stage") or "")),
            )
