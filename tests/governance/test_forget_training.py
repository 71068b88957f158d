"""Erasing a subject whose row was trained on, in an encrypted store: what stays is in bundles, and is named."""

from __future__ import annotations

import io
import struct

import numpy as np
import polars as pl
import pytest

from mlopsfw.governance.subject import Subject

pytest.importorskip("lightgbm")
NAME, INCOME = "Canaryname0017", 98765.432
TOML = """
[storage]
encrypt = "env:STORE_KEY"
tables = "encrypted-disk"
[privacy]
key = "env:PII"
[trainer.small]
use = "lightgbm"
num_iterations = 3
min_data_in_leaf = 5
[steps.parts]
use = "split"
inputs = { rows = "data:/people" }
by = "fraction"
validation = 0.3
[steps.check]
use = "validate"
inputs = { rows = "data:/people" }
trainer = "small"
task = "binary"
target = "y"
exclude = ["id", "name"]
folds = { folds = 2 }
learning_curve = false
[steps.fit]
use = "train"
inputs = { train = "parts.train" }
task = "binary"
target = "y"
exclude = ["id", "name"]
[steps.fit.tune]
trainers = ["small"]
trials = 2
space = { "small.learning_rate" = { low = 0.05, high = 0.3 } }
[steps.calibrate]
inputs = { model = "fit.model", rows = "parts.validation" }
[steps.evaluate]
use = "evaluate"
inputs = { model = "fit.model", rows = "parts.validation", train = "parts.train" }
importance = 1
"""


def _people():
    draw = np.random.default_rng(0)
    rows = pl.DataFrame({"id": np.arange(300), "income": np.round(draw.normal(50_000, 9_000, 300), 3)})
    name = pl.format("Personname{}", "id")
    mine = pl.col("id") == 17
    return rows.with_columns(
        name=pl.when(mine).then(pl.lit(NAME)).otherwise(name),
        income=pl.when(mine).then(INCOME).otherwise("income"),
        y=(pl.col("income") + pl.Series(draw.normal(0, 4000, 300)) > 50_000).cast(int),
    )


def _holds(data: bytes) -> bool:
    """Return whether a value of the subject stands in a blob, as text, as float64, or in a table."""
    if data.startswith(b"ARROW1"):
        data = str(pl.read_ipc(io.BytesIO(data)).rows()).encode()
    return any(part in data for part in (NAME.encode(), str(INCOME).encode(), struct.pack("<d", INCOME)))


def _places(project) -> set[str]:
    keys = [entry.key for entry in project.storage.list("objects/")]
    blobs = {key.rpartition("/")[2]: project.blobs.get(key.rpartition("/")[2]) for key in keys}
    local = {
        str(file): file.read_bytes()
        for file in project.state.rglob("*")
        if file.is_file() and "objects" not in file.parts
    }
    return {name for name, data in {**blobs, **local}.items() if _holds(data)}


@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_nothing_of_a_subject_stays_but_in_the_bundles_that_the_erasure_names(bench, monkeypatch):
    monkeypatch.setenv("STORE_KEY", "ab" * 32)
    monkeypatch.setenv("PII", "cd" * 32)
    bench.write(TOML)
    with bench.open() as project:
        project.datasets.commit("people", _people())
    bench.run()
    with bench.open() as project:
        assert len(_places(project)) > 4
        subject = Subject("id", "17", project.privacy.key, (NAME, str(INCOME)))
        done = project.erasures.forget("people", subject)
        left = _places(project)
        named = {digest for bundle in done.held["bundles"] for digest in project.blobs.manifest(bundle).values()}
        assert {place.rpartition("/")[2] for place in left} <= named
