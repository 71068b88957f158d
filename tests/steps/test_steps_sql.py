"""A query over the inputs: what it answers, what its cache sees, and what is told of a wrong one."""

from __future__ import annotations

import polars as pl
import pytest

TOML = '''
[steps.slow]
use = "sql"
inputs = { flights = "data:/flights", planes = "data:/planes" }
query = """
    SELECT f.id, f.distance / p.seats AS miles_a_seat, p.maker
    FROM flights AS f JOIN planes AS p ON f.tail = p.tail
    WHERE f.distance > 100 ORDER BY f.id
"""
'''
FLIGHTS = pl.DataFrame({"id": [3, 1, 2], "tail": ["N1", "N2", "N1"], "distance": [300.0, 200.0, 50.0]})
PLANES = pl.DataFrame({"tail": ["N1", "N2"], "seats": [100, 50], "maker": ["A", "B"]})


@pytest.fixture
def ready(bench):
    with bench.write(TOML).open() as project:
        project.datasets.commit("flights", FLIGHTS)
        project.datasets.commit("planes", PLANES)
    return bench


def test_a_query_joins_computes_and_filters_its_inputs(ready):
    rows = ready.value(ready.run(), "slow", "rows")
    assert rows.rows(named=True) == [
        {"id": 1, "miles_a_seat": 4.0, "maker": "B"},
        {"id": 3, "miles_a_seat": 3.0, "maker": "A"},
    ]


def test_it_runs_again_when_an_input_or_the_query_is_another_and_only_then(ready):
    ready.run()
    ready.run()
    assert ready.ran() == []
    with ready.open() as project:
        project.datasets.commit("planes", PLANES.with_columns(pl.col("seats") * 2), "replace")
    ready.run()
    assert ready.ran() == ["slow"]
    ready.edit("mlopsfw.toml", "> 100", "> 10")
    ready.run()
    assert ready.ran() == ["slow"]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("f.distance / p.seats", "f.distnce / p.seats", "distnce"),
        ("FROM flights", "FROM fights", "fights"),
        ("SELECT", "SELEKT", "slow"),
        ("FROM flights", "FROM read_csv('/etc/passwd')", "the cache cannot see its changes"),
    ],
)
def test_a_wrong_query_fails_its_step_and_says_why(ready, old, new, complaint):
    ready.edit("mlopsfw.toml", old, new)
    done = ready.run()
    assert done.status == "failed"
    assert complaint in str(done)
