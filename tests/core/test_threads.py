"""Threads promise the same results from one and many, and as few as they are told or given."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import pytest

from mlopsfw_core import Reference, compare_table
from mlopsfw_core._threads import map_columns, thread_count


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    columns = {f"n{i}": rng.normal(i / 20, size=30_000) for i in range(6)}
    columns["c"] = rng.choice(["a", "b", "a text of more than twelve bytes"], 30_000)
    return pl.DataFrame(columns)


def test_one_thread_and_many_give_the_same_report(table, monkeypatch):
    references = {name: Reference.fit(table[name][:20_000], name=name) for name in table.columns}
    reports = []
    for threads in ("1", "2", "7"):
        monkeypatch.setenv("MLOPSFW_THREADS", threads)
        reports.append(compare_table(references, table))
    assert reports[0] == reports[1] == reports[2]


def test_threads_may_share_references(table):
    references = {name: Reference.fit(table[name][:20_000], name=name) for name in table.columns}
    expected = compare_table(references, table)
    with ThreadPoolExecutor(4) as pool:
        assert all(report == expected for report in pool.map(lambda _: compare_table(references, table), range(8)))


def test_the_variable_sets_the_number_and_nonsense_is_refused(monkeypatch):
    monkeypatch.setenv("MLOPSFW_THREADS", "3")
    assert thread_count() == 3
    monkeypatch.delenv("MLOPSFW_THREADS")
    assert thread_count() >= 1
    for wrong in ("0", "-1", "many", "1.5"):
        monkeypatch.setenv("MLOPSFW_THREADS", wrong)
        with pytest.raises(ValueError, match="MLOPSFW_THREADS"):
            thread_count()


def test_errors_of_a_column_reach_the_caller(monkeypatch):
    monkeypatch.setenv("MLOPSFW_THREADS", "2")
    with pytest.raises(ZeroDivisionError):
        map_columns(lambda item: 1 / item, [1, 0, 2], worthwhile=True)
    assert map_columns(str, [3, 1, 2], worthwhile=True) == ["3", "1", "2"]
