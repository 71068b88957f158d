"""The step `ingest` with each of its modes and options, run as a pipeline: what `[steps.ingest]` says is what happens."""

from __future__ import annotations

import sqlite3

import pytest

from mlopsfw.errors import ConfigError

OLD = "id,name\n1,a\n2,b\n"
NEW = "id,name\n2,B\n3,c\n"


@pytest.fixture
def twice(bench):
    """Run the step with some options on the old file, then on the new one; return the dataset's rows and its newest version."""

    def twice(options, new=NEW, old=OLD):
        for text in (old, new):
            bench.write(f'[steps.ingest]\ndataset = "d"\npath = "in.csv"\n{options}\n', files={"in.csv": text})
            done = bench.run()
        with bench.open() as project:
            return done, project.datasets.scan("d").collect().rows(), project.datasets.resolve("d")

    return twice


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ("", [(2, "B"), (3, "c")]),
        ('mode = "replace"', [(2, "B"), (3, "c")]),
        ('mode = "append"', [(1, "a"), (2, "b"), (2, "B"), (3, "c")]),
        ('mode = "upsert"\nkey = ["id"]', [(1, "a"), (2, "B"), (3, "c")]),
        ('incremental = "id"', [(1, "a"), (2, "b"), (3, "c")]),
        ('incremental = "id"\nkey = ["id"]\nlookback = 1', [(1, "a"), (2, "B"), (3, "c")]),
    ],
)
def test_rows_come_in_as_the_mode_says(twice, options, rows):
    done, found, version = twice(options)
    assert done.status == "done"
    assert found == rows
    assert version.version == 2
    assert bool(version.watermark) == ("incremental" in options)


@pytest.mark.parametrize(
    ("drift", "rows"),
    [("add", [(1, "a", None), (2, "b", None), (3, "c", True)]), ("ignore", [(1, "a"), (2, "b"), (3, "c")])],
)
def test_other_columns_get_what_the_policy_says(twice, drift, rows):
    _, found, version = twice(f'mode = "append"\ndrift = "{drift}"', "id,name,more\n3,c,true\n")
    assert found == rows
    assert version.intake.get("ignored", []) == (["more"] if drift == "ignore" else [])


@pytest.mark.parametrize("options", ['mode = "append"', 'mode = "append"\ndrift = "fail"'])
def test_other_columns_fail_the_step_where_nothing_else_is_said(twice, options):
    done, found, _ = twice(options, "id,name,more\n3,c,true\n")
    assert done.status == "failed"
    assert found == [(1, "a"), (2, "b")]


def test_bad_rows_go_to_quarantine_up_to_the_share_and_are_a_metric(twice, bench):
    done, found, version = twice("max_bad = 0.4", "id,name\n1,a\n2\n3,c\n")
    assert found == [(1, "a"), (3, "c")]
    assert version.intake["quarantined"] == 1
    with bench.open() as project:
        assert [bad.line for bad in project.datasets.quarantine("d")] == [3]
        assert project.runs.get(done.run).steps["ingest"].status == "done"
    done, *_ = twice("max_bad = 0.1", "id,name\n1,a\n2\n3,c\n")
    assert done.status == "failed"


def test_csv_options_and_the_message_are_passed_on(twice, bench):
    options = (
        'separator = ";"\nnull = ["-"]\nencoding = "latin-1"\nmessage = "nightly"\n[steps.ingest.types]\nid = "string"'
    )
    _, found, version = twice(options, "id;name\n007;-\n008;b\n", "id;name\n1;a\n")
    assert found == [("007", None), ("008", "b")]
    with bench.open() as project:
        assert project.people.show(version).message == "nightly"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ('mode = "upsert"', "needs a key"),
        ('key = ["id"]', "takes no key"),
        ("lookback = 5", "lookback"),
    ],
)
def test_options_that_do_not_go_together_are_refused_before_anything_runs(bench, options, complaint):
    bench.write(f'[steps.ingest]\ndataset = "d"\npath = "in.csv"\n{options}\n', files={"in.csv": OLD})
    with pytest.raises(ConfigError, match=complaint):
        bench.run()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ('incremental = "nope"', "no column 'nope'"),
        ('sheet = "A"\nat = "3"', "is not a table with versions"),
    ],
)
def test_options_that_do_not_fit_the_rows_fail_the_step_and_say_so(twice, bench, options, complaint):
    bench.write(f'[steps.ingest]\ndataset = "d"\npath = "in.csv"\n{options}\n', files={"in.csv": OLD})
    done = bench.run()
    assert done.status == "failed"
    with bench.open() as project:
        assert complaint in project.runs.get(done.run).steps["ingest"].failure


def test_a_database_comes_in_by_query_with_a_mode(bench):
    def put(*rows):
        with sqlite3.connect(bench.root / "rows.db") as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER, name TEXT)")
            connection.executemany("INSERT INTO t VALUES (?, ?)", rows)
        connection.close()

    bench.write('[steps.ingest]\ndataset = "d"\nsql = "sqlite:///rows.db"\ntable = "t"\nincremental = "id"\n')
    for rows in ([(1, "a"), (2, "b")], [(3, "c")]):
        put(*rows)
        assert bench.run().status == "done"
    with bench.open() as project:
        assert project.datasets.scan("d").collect().rows() == [(1, "a"), (2, "b"), (3, "c")]
        assert project.datasets.resolve("d").watermark["value"] == 3


def test_the_step_is_taken_from_the_cache_while_file_and_options_are_the_same(bench):
    bench.write('[steps.ingest]\ndataset = "d"\npath = "in.csv"\nmode = "append"\n', files={"in.csv": OLD})
    bench.run()
    assert bench.ran() == ["ingest"]
    bench.run()
    assert bench.ran() == []
    with bench.open() as project:
        assert project.datasets.resolve("d").rows == 2
