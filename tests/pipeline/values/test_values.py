"""Values: what a step returns comes back the same, by reference, with one digest for one logical content."""

from __future__ import annotations

import math
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.lineage import canonical
from mlopsfw.pipeline.graph.step import BundleFolder

FRAME = pl.DataFrame({"n": [1, 2, None], "s": ["a", None, "ä"], "d": [1.5, float("nan"), -0.0]})

KEYS = st.text().filter(lambda key: key != "$float")  # which is refused; hypothesis tries the code's own constants
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=20,
)


def same(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


@given(JSON)
@settings(deadline=None)
def test_json_values_come_back_as_they_were(value):
    assert same(canonical.decode(canonical.encode(value)), value)


@given(st.dictionaries(KEYS, st.integers(-5, 5), min_size=2))
def test_the_order_of_keys_is_no_difference(value):
    assert canonical.encode(value) == canonical.encode(dict(reversed(value.items())))


@pytest.mark.parametrize("value", [{1: 2}, {"$float": 1}, 2**64, {"a": [object()]}, b"bytes", {"x": {1, 2}}])
def test_what_json_does_not_hold_is_refused_by_path(value):
    with pytest.raises(DataError, match=r"^step\.out"):
        canonical.encode(value, "step.out")


@pytest.mark.parametrize(
    "value", ["\ud83d", ["ok", "cut \ude00"], {"s": "\ud83d"}, {"\ud83d": 1}, {"a": {"\ud83dx": 1}}]
)
def test_half_a_character_is_refused_by_path_in_any_place(value):
    with pytest.raises(DataError, match=r"step\.out.*half of a surrogate pair") as caught:
        canonical.encode(value, "step.out")
    caught.value.message.encode()  # what a user reads can be written


def test_numpy_scalars_are_numbers():
    import numpy as np

    assert (
        canonical.encode({"a": np.float64(0.5), "b": np.int64(3), "c": np.bool_(True)}) == b'{"a":0.5,"b":3,"c":true}'
    )


def test_a_table_comes_back_in_whatever_form_is_asked_for(project):
    artifact = project.values.store(FRAME)
    assert artifact.kind == "table"
    assert artifact.meta["rows"] == 3
    assert project.values.load(artifact).equals(FRAME, null_equal=True)
    assert project.values.load(artifact, pl.LazyFrame).collect().equals(FRAME, null_equal=True)
    assert project.values.load(artifact, pa.Table).num_rows == 3


@pytest.mark.parametrize(
    "make",
    [
        lambda f: f,
        lambda f: f.lazy(),
        lambda f: f.to_arrow(),
        lambda f: pl.concat([f[:1], f[1:]], rechunk=False),
        lambda f: pa.concat_tables([f[:2].to_arrow(), f[2:].to_arrow()]),
        lambda f: pa.table(f.to_arrow()).cast(pa.schema([("n", pa.int64()), ("s", pa.string()), ("d", pa.float64())])),
    ],
    ids=["frame", "lazy", "arrow", "chunked frame", "chunked arrow", "another string type"],
)
def test_equal_tables_have_equal_digests_however_they_were_made(project, make):
    assert project.values.store(make(FRAME)).digest == project.values.store(FRAME).digest


def test_unequal_tables_have_unequal_digests(project):
    others = [
        FRAME[::-1],
        FRAME[:2],
        FRAME.rename({"n": "m"}),
        FRAME.with_columns(pl.col("n").cast(pl.Int32)),
        FRAME.fill_null(0),
    ]
    assert len({project.values.store(frame).digest for frame in (FRAME, *others)}) == 6


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["a", "ä"])])
def test_categories_come_back(project, dtype):
    frame = FRAME.with_columns(pl.col("s").cast(dtype))
    assert project.values.load(project.values.store(frame))["s"].cast(str).to_list() == ["a", None, "ä"]


def test_a_file_comes_back_under_its_own_name(project, tmp_path):
    file = tmp_path / "report.csv"
    file.write_text("a,b")
    artifact = project.values.store(file)
    file.write_text("changed")
    laid = project.values.load(artifact, Path, folder=tmp_path)
    assert (laid.name, laid.read_text()) == ("report.csv", "a,b")


@pytest.mark.parametrize("wrap", [lambda p: p, BundleFolder], ids=["folder", "bundle"])
def test_a_folder_comes_back_whole(project, tmp_path, wrap):
    folder = tmp_path / "made"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "x").write_bytes(b"1")
    artifact = project.values.store(wrap(folder))
    assert artifact.kind == ("folder" if wrap(folder) == folder else "bundle")
    laid = project.values.load(artifact, folder=tmp_path)
    assert (laid / "inner" / "x").read_bytes() == b"1"
    (folder / "inner" / "x").rename(folder / "y")
    assert project.values.store(wrap(folder)).digest != artifact.digest


def test_a_path_where_nothing_lies_is_refused(project, tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        project.values.store(tmp_path / "nothing")


def test_an_artifact_is_passed_on_as_it_is(project):
    artifact = Artifact(kind="dataset", digest="0" * 64, ref="data:/x@1")
    assert project.values.store(artifact) is artifact
    assert project.values.load(artifact, Artifact) is artifact


def test_a_step_is_given_what_its_annotations_ask_for(bench):
    toml = '[steps.a]\npython = "steps:a"\n' + "".join(
        f'[steps.{name}]\npython = "steps:{name}"\ninputs = {{ rows = "a" }}\n'
        for name in ("frame", "lazy", "arrow", "quoted")
    )
    steps = """
import polars as pl
import pyarrow as pa
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import pandas as pd
def a(): return pl.DataFrame({"x": [1, 2]})
def frame(rows): return type(rows).__module__.split(".")[0] + "." + type(rows).__name__
def lazy(rows: pl.LazyFrame): return frame(rows)
def arrow(rows: "pa.Table"): return frame(rows)
def quoted(rows: "pl.LazyFrame | None"): return frame(rows)
"""
    outcome = bench.write(toml, steps=steps).run()
    found = [bench.value(outcome, name) for name in ("frame", "lazy", "arrow", "quoted")]
    assert found == ["polars.DataFrame", "polars.LazyFrame", "pyarrow.Table", "polars.LazyFrame"]
