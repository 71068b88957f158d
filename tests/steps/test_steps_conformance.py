"""The bundled steps keep the contract of the role, by the hook that anyone's steps come by."""

from __future__ import annotations

import importlib

import polars as pl
import pytest

from mlopsfw.kernel.config import ProjectConfig
from mlopsfw.project.facade import Project
from mlopsfw.testing.step import StepConformance

ROWS = pl.DataFrame(
    {"at": pl.datetime_range(pl.datetime(2026, 1, 1), pl.datetime(2026, 1, 4), "1h", eager=True)}
).with_columns(x=pl.int_range(pl.len()) * 0.5, y=pl.int_range(pl.len()) % 2 == 0)
OTHER = ROWS.gather_every(5).select("at", wind="x")


class Bundled(StepConformance):
    name = ""
    given = wired = None

    @pytest.fixture
    def provider(self):
        return next(iter(importlib.import_module(f"mlopsfw.steps.{self.name}").mlopsfw_steps()))

    @pytest.fixture
    def options(self):
        return self.given or {}

    @pytest.fixture
    def inputs(self):
        return self.wired or {}


class TestFeatures(Bundled):
    name, given, wired = "features", {"rename": {"x": "z"}, "types": {"z": "integer"}, "drop": ["y"]}, {"rows": ROWS}


class TestJoin(Bundled):
    name, given, wired = "join", {"at": "at", "tolerance": "1d"}, {"rows": ROWS, "other": OTHER}


class TestSplit(Bundled):
    name, given, wired = "split", {"by": "fraction", "test": 0.2, "shuffle_time": True}, {"rows": ROWS}


class TestSql(Bundled):
    name, given, wired = "sql", {"query": "SELECT x FROM a WHERE y ORDER BY x"}, {"a": ROWS}


class TestLeakage(Bundled):
    name, given, wired = "leakage", {"target": "y", "features": ["x"], "level": "warn"}, {"rows": ROWS}


class TestValidate(Bundled):
    name, given = "validate", {"trainer": "lightgbm", "task": "binary", "target": "y", "time": "at"}
    wired = {"rows": ROWS.with_columns(y=pl.int_range(pl.len()) % 3 == 0)}  # noqa: RUF012

    @pytest.fixture
    def project(self, tmp_path):
        (tmp_path / "mlopsfw.toml").write_text('[project]\nname = "conformance"\n[trainer]\nuse = "lightgbm"\n')
        with Project.open(tmp_path) as project:
            yield project


class TestCheck(Bundled):
    name, given, wired = "check", {"contract": {"columns": {"x": {"type": "number"}}}}, {"rows": ROWS}


class TestGate(Bundled):
    name, given, wired = "gate", {"rules": ["auc > 0.6"]}, {"metrics": {"auc": 0.7}}


class TestAlert(Bundled):
    name, given, wired = "alert", {"title": "The rows are in"}, {"rows": ROWS}


class TestIngest(Bundled):
    name, given = "ingest", {"dataset": "rows", "path": "rows.csv"}

    @pytest.fixture
    def project(self, tmp_path):
        ROWS.write_csv(tmp_path / "rows.csv")
        with Project(tmp_path, ProjectConfig(name="conformance")) as project:
            yield project
