"""The rows and the project that benchmarks of datasets work on."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl

from mlopsfw.project.facade import Project

ROWS = int(os.environ.get("MLOPSFW_BENCH_ROWS", "1000000"))


def frame(rows: int, start: int = 0) -> pl.DataFrame:
    """Return `rows` rows with a key from `start`, six normal columns and one of a thousand texts."""
    rng = np.random.default_rng(start)
    numbers = {f"f{i}": rng.normal(size=rows) for i in range(6)}
    names = pl.Series("name", rng.integers(0, 1000, rows)).cast(pl.String)
    return pl.DataFrame({"id": np.arange(start, start + rows), **numbers, "name": "n" + names})


def project(folder: Path) -> Project:
    """Return a fresh project in `folder`."""
    folder.mkdir(exist_ok=True)
    (folder / "mlopsfw.toml").write_text('[project]\nname = "bench"\n')
    return Project.open(folder)
