"""Rows that break a dataset's contract go to the quarantine on their way in, with the rule that they break; the others stay as they are."""

from __future__ import annotations

import json
from itertools import pairwise

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from mlopsfw.data.contracts import read_contract
from mlopsfw.data.contracts.expressions import is_of_a_row, parse_sql
from mlopsfw.data.contracts.row_filter import RowFilter
from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.kernel.base.errors import DataError

CONTRACT = """
contract = 1
[columns.airport]
nulls = 0.0
values = ["EWR", "JFK", "LGA"]
[columns.wind]
range = [0, 150]
[columns.gust]
range = [0, 200]
allow = 0.01
[[rule]]
that = "gust >= wind"
[[rule]]
that = "COUNT(*) > 1000"
[[rule]]
that = "temp < 60"
level = "warn"
"""
ROWS = "airport,wind,gust,temp\nEWR,10,12,99\nEWR,1048,,20\n,3,4,20\nXXX,3,4,20\nJFK,9,4,20\nLGA,5,900,20\nLGA,,,\n"
TOML = '[data.weather]\ncontract = "weather.toml"\n'


@pytest.fixture
def project(bench):
    bench.write(TOML, files={"weather.toml": CONTRACT, "w.csv": ROWS})
    with bench.open() as opened:
        yield opened


def add(project, share=0.9):
    return project.datasets.add("weather", [project.root / "w.csv"], Change(max_bad=share))


def test_rows_that_break_a_rule_are_set_aside_with_their_number_and_why(project):
    version = add(project)
    assert version.intake["quarantined"] == 4
    assert project.datasets.scan(version).collect()["wind"].to_list() == [10, 5, None]
    found = [(row.line, row.reason) for row in sorted(project.datasets.quarantine("weather"), key=lambda row: row.line)]
    assert found == [
        (2, "wind is 1048: not from 0 to 150"),
        (3, "airport has no value"),
        (4, "airport is 'XXX': not one of EWR, JFK, LGA"),
        (5, "gust is 4, wind is 9: rule gust >= wind"),
    ]
    raw = json.loads(min(project.datasets.quarantine("weather"), key=lambda row: row.line).raw)
    assert raw == {"airport": "EWR", "wind": 1048, "gust": None, "temp": 20}


def test_over_the_share_nothing_is_committed(project):
    with pytest.raises(DataError, match="4 of 7 rows are bad"):
        add(project, 0.5)
    assert project.datasets.history("weather").latest is None


def test_without_a_share_rows_come_in_as_they_are_and_the_check_finds_them(project):
    assert project.datasets.add("weather", [project.root / "w.csv"]).rows == 7


def test_columns_that_are_treated_do_not_sift_and_nothing_of_a_bad_row_is_kept(bench):
    marks = TOML + 'pii = { airport = "mask" }\n'
    bench.write(marks, files={"weather.toml": CONTRACT, "w.csv": ROWS})
    with bench.open() as project:
        assert add(project).intake["quarantined"] == 2  # the wind and the gust
        assert {row.raw for row in project.datasets.quarantine("weather")} == {""}


def test_the_step_runs_again_when_the_contract_is_another(bench):
    step = '[steps.ingest]\ndataset = "weather"\npath = "w.csv"\nmax_bad = 0.9\n'
    bench.write(TOML + step, files={"weather.toml": CONTRACT, "w.csv": ROWS})
    assert bench.run().outputs["ingest"]["rows"].meta.get("rows", 3) == 3
    bench.edit("weather.toml", "150", "2000")
    outcome = bench.run()
    assert bench.ran() == ["ingest"]
    assert bench.value(outcome, "ingest", "rows").collect().height == 4


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("a <= b AND NOT (c IS NULL)", True), ("UPPER(c) = c AND LENGTH(c) > 2 AND c LIKE 'x%'", True), ("ABS(a) BETWEEN 1 AND 2", True),
        ("CASE WHEN a > 1 THEN b ELSE a END > 2", True), ("a > 1 OR b IS NULL", True), ("COALESCE(a, b) > 2", True), ("COUNT(*) > 10", False), ("a > AVG(a)", False),
        ("a > LAG(a) OVER (ORDER BY b)", False), ("a > MAX(a) OVER (PARTITION BY b)", False), ("RANK() OVER (ORDER BY a) < 3", False),
    ],
)  # fmt: skip
def test_only_what_a_row_alone_decides_sifts(condition, expected):
    assert is_of_a_row(parse_sql(condition)) is expected


class Aside:
    """Takes what is set aside."""

    def __init__(self):
        self.lines = []

    def add(self, source, line, reason, raw):
        self.lines.append(line)


@given(st.lists(st.one_of(st.none(), st.integers(-5, 5)), max_size=40), st.lists(st.integers(0, 40), max_size=4))
def test_however_rows_come_in_batches_those_kept_and_set_aside_are_the_same(values, cuts):
    rows = pl.DataFrame({"n": pl.Series(values, dtype=pl.Int64)})
    edges = sorted({0, len(values), *(cut for cut in cuts if cut < len(values))})
    batches = [rows[a:b].to_arrow().to_batches() for a, b in pairwise(edges)]
    first = pa.RecordBatch.from_pylist([], schema=rows.to_arrow().schema)
    aside = Aside()
    row_filter = RowFilter(read_contract({"columns": {"n": {"range": [-2, 2], "nulls": 0.0}}}))
    kept = list(row_filter.filtered(iter([first, *(b for part in batches for b in part)]), aside, "x"))
    good = [value is not None and -2 <= value <= 2 for value in values]
    assert_frame_equal(pl.DataFrame(pa.Table.from_batches(kept)), rows.filter(pl.Series(good, dtype=pl.Boolean)))
    assert aside.lines == [number for number, fine in enumerate(good, 1) if not fine]
