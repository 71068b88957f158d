"""Threads promise the same results from one and many, and as few as they are told or given."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import polars as pl
import pytest

from mlopsfw_core import (
    Reference,
    compare_as_evidently,
    compare_samples,
    compare_streams,
    compare_table,
    hash_features,
    hash_indices,
)
from mlopsfw_core._threads import map_columns, thread_count
from mlopsfw_core.drift import KsReference
from mlopsfw_core.profile import profile


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


ENTRIES = {
    "compare_table": lambda table: compare_table(
        {name: Reference.fit(table[name][:20_000], name=name) for name in table.columns}, table
    ),
    "compare_samples": lambda table: compare_samples(table[:20_000], table),
    "compare_as_evidently": lambda table: repr(compare_as_evidently(table[:20_000], table)),
    "compare_streams": lambda table: repr(
        compare_streams(lambda: table.iter_slices(7_000), lambda: [table[:25_000]]).drifts
    ),
    "profile": lambda table: profile(table).to_bytes(),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_that_runs_in_parallel_answers_as_one_thread_does(entry, table, monkeypatch):
    answers = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("MLOPSFW_THREADS", threads)
        answers.append(ENTRIES[entry](table))
    assert answers[0] == answers[1] == answers[2]


SHARED = {
    "KsReference": (lambda t: KsReference(t["n0"]), lambda kept, t: kept.ks_2samp(t["n3"][:20_000])),
    "Reference": (lambda t: Reference.fit(t["n1"]), lambda kept, t: kept.compare(t["n4"][:20_000])),
    "Reference of texts": (lambda t: Reference.fit(t["c"]), lambda kept, t: kept.compare(t["c"][:20_000])),
    "profiles that are merged": (lambda t: (profile(t), profile(t[:20_000])), lambda kept, _: kept[0].merge(kept[1]).to_bytes()),
    "column of texts": (lambda t: t["c"].to_arrow(), lambda kept, _: hash_indices(kept, 1 << 20).tobytes()),
    "table to hash": (lambda t: t[:20_000], lambda kept, _: hash_features(kept, crosses=[("c", "n0")]).indices.tobytes()),
}  # fmt: skip


@pytest.mark.parametrize("shared", SHARED)
def test_four_threads_share_what_was_prepared_once(shared, table):
    make, use = SHARED[shared]
    kept = make(table)
    together = Barrier(4)

    def hammer(_):
        together.wait()
        return [use(kept, table) for _ in range(5)]

    expected = use(make(table), table)
    with ThreadPoolExecutor(4) as pool:
        assert all(answer == expected for answers in pool.map(hammer, range(4)) for answer in answers)


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
