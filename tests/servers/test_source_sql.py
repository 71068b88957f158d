"""Rows of real databases: every type, more rows than fit, what comes again, and no password in sight."""

from __future__ import annotations

import datetime as dt
import sqlite3
import subprocess
import sys
from dataclasses import replace
from uuid import UUID

import polars as pl
import pyarrow as pa
import pytest
from adbc_driver_postgresql import dbapi
from click.testing import CliRunner

from mlopsfw.cli.root import cli
from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.data.intake.places import Query
from mlopsfw.kernel.base.errors import ConfigError, DataError, UsageError
from mlopsfw.roles import SourceRequest
from mlopsfw.testing.source import SourceConformance
from mlopsfw_source_sql import reading as sqlsource
from mlopsfw_source_sql.reading import SqlSource

pytestmark = pytest.mark.server

EVERY_TYPE = """
    SELECT 1::smallint AS a, 2::bigint AS b, 1.25::numeric AS c, 1.5::real AS d, 'x'::text AS e, true AS f,
           date '2013-01-02' AS g, timestamp '2013-01-02 03:04:05' AS h, timestamptz '2013-01-02 03:04:05+02' AS i,
           time '10:00' AS j, '{"k": 1}'::jsonb AS k, 'c2d29867-3d0b-d497-9191-18a9d8ee7830'::uuid AS l, ARRAY[1, 2] AS m,
           NULL::int AS n, decode('00ff', 'hex') AS o
"""


@pytest.fixture
def database(postgres_url, monkeypatch):
    """Run statements; the URL is in the environment."""
    monkeypatch.setenv("WAREHOUSE_URL", postgres_url)

    def execute(*statements):
        with dbapi.connect(postgres_url) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            connection.commit()

    return execute


@pytest.mark.usefixtures("database")
def test_every_type_comes_as_its_own_or_as_a_text(project):
    version = project.datasets.add("d", [Query("env:WAREHOUSE_URL", EVERY_TYPE)], "replace")
    assert project.datasets.scan(version).collect().row(0) == (
        1, 2, 1.25, 1.5, "x", True, dt.date(2013, 1, 2), dt.datetime(2013, 1, 2, 3, 4, 5),  # noqa: DTZ001 - SQL's, of no zone
        dt.datetime(2013, 1, 2, 1, 4, 5, tzinfo=dt.UTC), "10:00:00", '{"k": 1}',
        str(UUID("c2d29867-3d0b-d497-9191-18a9d8ee7830")), [1, 2], None, b"\x00\xff",
    )  # fmt: skip


def test_loads_go_on_where_the_last_one_ended(project, database):
    database(
        "DROP TABLE IF EXISTS trips", "CREATE TABLE trips AS SELECT i AS id, i * 2 AS x FROM generate_series(1, 1000) i"
    )
    query = sqlsource.query_of("public.trips")
    assert query == 'SELECT * FROM "public"."trips"'
    change = Change(mode="incremental", watermark="id")
    assert project.datasets.add("trips", [Query("env:WAREHOUSE_URL", query)], change).rows == 1000
    database("INSERT INTO trips VALUES (1001, 1), (5, 5)")
    assert project.datasets.add("trips", [Query("env:WAREHOUSE_URL", query)], change).rows == 1001
    database("UPDATE trips SET x = 0 WHERE id = 1")
    upsert = Change(mode="upsert", key=("id",))
    again = project.datasets.add("trips", [Query("env:WAREHOUSE_URL", "SELECT * FROM trips WHERE id = 1")], upsert)
    assert project.datasets.scan(again).filter(pl.col("id") == 1).collect()["x"].to_list() == [0]


CONTRACT = 'contract = 1\n[columns.x]\ntype = "integer"\nrange = [0, 100]\n'


@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_rows_that_break_the_contract_or_do_not_fit_are_set_aside(make_project, postgres_url, monkeypatch, kind):
    project = make_project('[data.trips]\ncontract = "trips.toml"\n')
    (project.root / "trips.toml").write_text(CONTRACT)
    fill = ["CREATE TABLE kept AS SELECT 1 AS id, 5 AS x", "INSERT INTO kept VALUES (2, 700), (3, 7), (4, NULL)"]
    if kind == "sqlite":
        with sqlite3.connect(project.root / "a.db") as connection:
            for statement in fill:
                connection.execute(statement)
        connection.close()
        url = "sqlite:///a.db"
    else:
        monkeypatch.setenv("WAREHOUSE_URL", postgres_url)
        with dbapi.connect(postgres_url) as connection, connection.cursor() as cursor:
            for statement in ("DROP TABLE IF EXISTS kept", *fill):
                cursor.execute(statement)
            connection.commit()
        url = "env:WAREHOUSE_URL"
    add = ["--project", str(project.root), "data", "add", "trips", "--sql", url]
    over = CliRunner().invoke(cli, [*add, "--table", "kept", "--max-bad", "0.1"])
    assert over.exit_code == 1
    assert "1 of 4 rows are bad, more than 10.00%" in str(over.exception)
    done = CliRunner().invoke(cli, [*add, "--query", "SELECT * FROM kept ORDER BY id", "--max-bad", "0.3"])
    assert done.exit_code == 0, done.stderr
    assert project.datasets.scan("trips").collect().rows() == [(1, 5), (3, 7), (4, None)]
    more = "SELECT 5 AS id, 1.5 AS x UNION ALL SELECT 6, 6.0 ORDER BY id"
    assert CliRunner().invoke(cli, [*add, "--query", more, "--append", "--max-bad", "0.5"]).exit_code == 0
    assert project.datasets.scan("trips").collect().rows()[3:] == [(6, 6)]
    newest, *_, first = project.datasets.quarantine("trips")
    assert (newest.line, first.line) == (1, 2)
    assert {"postgresql": "'x'", "sqlite": "x is a real number"}[kind] in newest.reason
    assert "700" in first.reason


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    "value", ["12.5::money", "point(1, 2)", "'::1'::inet", "ARRAY[1::money]", "ARRAY[ARRAY['::1'::inet]]"]
)
def test_what_no_table_can_hold_is_an_error_that_says_what_to_write(project, value):
    with pytest.raises(DataError, match="column 'a'") as error:
        project.datasets.add("d", [Query("env:WAREHOUSE_URL", f"SELECT {value} AS a")])
    assert "::" in error.value.hint


@pytest.mark.usefixtures("database")
def test_an_infinite_numeric_is_infinite(project):
    query = "SELECT v::numeric AS a FROM unnest(ARRAY['Infinity', '-Infinity', '1e308', 'NaN', NULL]) v"
    version = project.datasets.add("d", [Query("env:WAREHOUSE_URL", query)])
    infinity, nan = float("inf"), float("nan")
    assert str(project.datasets.scan(version).collect()["a"].to_list()) == str([infinity, -infinity, 1e308, nan, None])


@pytest.mark.usefixtures("database")
def test_arrays_hold_what_columns_hold(project):
    query = """SELECT ARRAY[1.5, NULL, 2]::numeric[] AS a, ARRAY[time '10:00', NULL] AS b, NULL::numeric[] AS c
               UNION ALL SELECT NULL, '{}', ARRAY[4.5]"""
    version = project.datasets.add("d", [Query("env:WAREHOUSE_URL", query)])
    rows = project.datasets.scan(version).collect().rows()
    assert rows == [([1.5, None, 2.0], ["10:00:00", None], None), (None, [], [4.5])]


def test_a_load_that_failed_holds_no_lock(project, database):
    database("DROP TABLE IF EXISTS held", "CREATE TABLE held AS SELECT i AS id FROM generate_series(1, 200000) i")
    project.datasets.commit("held", pl.DataFrame({"other": [1]}))
    with pytest.raises(DataError) as failed:
        project.datasets.add("held", [Query("env:WAREHOUSE_URL", "SELECT * FROM held")], "append")
    database("SET lock_timeout = 3000", "DROP TABLE held")
    assert failed.value.__traceback__ is not None  # while it is alive its frames are


@pytest.mark.usefixtures("database")
def test_days_beyond_pythons_calendar_are_kept(project):
    query = "SELECT date '4000-01-01 BC' AS a, date '20000-01-01' AS b"
    version = project.datasets.add("d", [Query("env:WAREHOUSE_URL", query)])
    assert project.datasets.scan(version).select(pl.all().to_physical()).collect().row(0) == (-2180132, 6585322)


def test_a_column_of_several_types_says_what_to_write(project):
    with sqlite3.connect(project.root / "a.db") as connection:
        connection.execute("CREATE TABLE t (a INTEGER)")
        connection.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(3000)] + [("word",)])
    connection.close()
    with pytest.raises(DataError, match="row 3001: a is a text, which a column of int64 cannot hold") as error:
        project.datasets.add("d", [Query("sqlite:///a.db", "SELECT * FROM t")])
    assert "Cast it in the query" in error.value.hint
    version = project.datasets.add("d", [Query("sqlite:///a.db", "SELECT CAST(a AS TEXT) AS a FROM t")])
    assert version.rows == 3001


@pytest.mark.usefixtures("database")
def test_a_query_without_rows_makes_a_table_of_its_columns(project):
    version = project.datasets.add("d", [Query("env:WAREHOUSE_URL", "SELECT 1 AS a, 'x' AS b WHERE false")])
    assert (version.rows, list(version.columns)) == (0, ["a", "b"])


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("SELEKT 1", "syntax error"),
        ("SELECT * FROM gone", '"gone" does not exist'),
        ("SELECT 1 AS a, 2 AS a", "two columns 'a'"),
        ("SELECT interval '1 day' AS a", "EXTRACT"),
        ("SELECT 1 / (i - 100000) AS a FROM generate_series(1, 200000) i", "division by zero"),
    ],
)
def test_what_the_database_refuses_is_told_and_nothing_is_committed(project, query, complaint, postgres_url):
    with pytest.raises(DataError, match=complaint) as caught:
        project.datasets.add("d", [Query("env:WAREHOUSE_URL", query)])
    assert (
        "not-asked-for" not in f"{caught.value} {caught.value.__notes__ if hasattr(caught.value, '__notes__') else ''}"
    )
    assert project.datasets.newest() == []
    assert postgres_url.startswith("postgresql://")


TOML = """
[steps.ingest]
dataset = "trips"
sql = "env:WAREHOUSE_URL"
table = "trips"

[steps.count]
python = "counting:count"
inputs = { rows = "ingest" }
"""


def test_a_step_reads_every_time_and_what_follows_runs_when_rows_differ(make_project, database, postgres_url):
    database("DROP TABLE IF EXISTS trips", "CREATE TABLE trips AS SELECT i AS id FROM generate_series(1, 10) i")
    project = make_project(TOML)
    (project.root / "counting.py").write_text("def count(rows):\n    return rows.collect().height\n", encoding="utf-8")

    def run():
        command = [sys.executable, "-m", "mlopsfw", "--project", str(project.root), "run"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    run()
    database("INSERT INTO trips VALUES (11)")
    output = run() + run()
    assert [version.rows for version in project.datasets.log("trips")] == [11, 10]
    written = [file.read_bytes() for file in project.root.rglob("*") if file.is_file()]
    assert len(written) > 10
    assert not any(b"not-asked-for" in data or postgres_url.encode() in data for data in written)
    assert "not-asked-for" not in output


FLAT = """
import resource, sys
from mlopsfw_source_sql import postgres as postgressource

rows = high = 0
for batch in postgressource.read(sys.argv[1], "SELECT i, repeat('text ', 40) || i AS t FROM generate_series(1, %s) i" % sys.argv[2], None):
    rows += batch.num_rows
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_rows_are_streamed_and_never_held_whole(postgres_url):
    def peak(count):
        command = [sys.executable, "-c", FLAT, postgres_url, str(count)]
        rows, mib = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        assert int(rows) == count
        return int(mib)

    assert peak(3_000_000) < peak(300_000) + 120  # MiB; the rows are some 600 MB


# -- SQLite -------------------------------------------------------------------------------------------------------------------


def test_sqlite_is_read_where_it_lies(project):
    with sqlite3.connect(project.root / "a b.db") as connection:
        connection.execute(
            'CREATE TABLE "odd ""name" AS SELECT 1 AS id, 1.5 AS x, \'ä\' AS t UNION ALL SELECT 2, NULL, NULL'
        )
    connection.close()
    version = project.datasets.add("d", [Query("sqlite:///a b.db", table='odd "name')])
    assert project.datasets.scan(version).collect().rows() == [(1, 1.5, "ä"), (2, None, None)]
    assert version.rows == 2


def test_a_database_that_is_not_there_is_not_made(project):
    with pytest.raises(DataError, match="there is no database"):
        project.datasets.add("d", [Query("sqlite:///gone.db", "SELECT 1")])
    assert not (project.root / "gone.db").exists()


@pytest.mark.parametrize(
    ("url", "error", "complaint"),
    [
        ("postgresql://me:secret@host/db", UsageError, "env:NAME"),
        ("postgressql://host/db", UsageError, "postgresql"),
        ("mysql://host/db", UsageError, r"no installed plugin reads mysql:// URLs\n.*sqlite://"),
        ("file.db", UsageError, r"file.db is not a URL\n.*sqlite://"),
        ("env:NOT_SET_ANYWHERE", ConfigError, "NOT_SET_ANYWHERE"),
    ],
)
def test_an_address_that_cannot_be_is_told_without_its_secret(project, url, error, complaint):
    with pytest.raises(error, match=complaint) as caught:
        project.datasets.add("d", [Query(url, "SELECT 1")])
    assert "secret@" not in str(caught.value)


def test_events_name_the_host_and_not_who_asked():
    assert sqlsource.shown("postgresql://me:secret@host:5432/db?x=1") == "postgresql://host:5432/db"


@pytest.mark.parametrize(("query", "table"), [("", ""), ("SELECT 1", "t")])
def test_a_query_or_a_table_is_asked_for_and_not_both(project, query, table):
    with pytest.raises(UsageError, match="either a query or a table"):
        project.datasets.add("d", [Query("sqlite:///file.db", query, table)])


# -- values and rows that cannot come in --------------------------------------------------------------------------------------------

ENDLESS = {
    "date": ("date '2013-01-02'", ["date 'infinity'", "date '-infinity'"]),
    "timestamp": ("timestamp '2013-01-02 03:04:05'", ["timestamp 'infinity'", "timestamp '294270-01-01'"]),
    "timestamptz": ("timestamptz '2013-01-02 03:04:05+02'", ["timestamptz '-infinity'"]),
    "numeric": ("1.5::numeric", ["('1' || repeat('0', 400))::numeric"]),
    "date[]": ("ARRAY[date '2013-01-02', NULL]", ["ARRAY[NULL, date 'infinity']", "ARRAY[ARRAY[date '-infinity']]"]),
}


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("kind", ENDLESS)
def test_a_value_that_no_column_holds_is_an_error_that_names_its_row(project, kind):
    good, bad = ENDLESS[kind]
    for one in bad:
        rows = " UNION ALL ".join(f"SELECT {number} AS id, {v} AS v" for number, v in enumerate((good, good, one)))
        with pytest.raises(DataError, match="row 3: v is "):
            project.datasets.add("d", [Query("env:WAREHOUSE_URL", rows)])
    assert project.datasets.newest() == []


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("kind", ENDLESS)
def test_with_a_quarantine_its_row_is_set_aside_whole(project, kind):
    good, bad = ENDLESS[kind]
    values = [good, *bad, good, "NULL"]
    rows = " UNION ALL ".join(f"SELECT {number} AS id, {v} AS v" for number, v in enumerate(values))
    version = project.datasets.add("d", [Query("env:WAREHOUSE_URL", rows)], Change(max_bad=0.5))
    aside = project.datasets.quarantine("d")
    assert [row.line for row in aside] == [number + 2 for number in range(len(bad))]
    assert (version.rows, version.intake["quarantined"]) == (3, len(bad))
    assert all(row.source.startswith("postgresql://127.0.0.1") and f'"id": {row.line - 1}' in row.raw for row in aside)
    assert "infinity" in aside[0].raw or kind in {"numeric", "date[]"}


def put_sqlite(project, declared, rows):
    with sqlite3.connect(project.root / "mixed.db") as connection:
        connection.execute("DROP TABLE IF EXISTS t")
        connection.execute(f"CREATE TABLE t ({declared})")
        marks = ", ".join("?" * len(rows[0]))
        connection.executemany(f"INSERT INTO t VALUES ({marks})", rows)
    connection.close()
    return Query("sqlite:///mixed.db", table="t")


GOOD = [(number, number / 2, f"t{number}") for number in range(20_000)]


@pytest.mark.parametrize("at", [0, 5, 19_999])
@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (("oops", 1.0, "x"), "id is a text, which a column of int64 cannot hold"),
        ((1.5, 1.0, "x"), "id is a real number"),
        ((1, b"\x00", "x"), "x is a blob"),
        ((1, 1.0, b"\xff"), "t is a blob"),
    ],
)
def test_what_sqlite_holds_against_its_own_declaration_is_set_aside(project, at, bad, reason):
    place = put_sqlite(project, "id INTEGER, x REAL, t TEXT", [*GOOD[:at], bad, *GOOD[at:]])
    version = project.datasets.add("d", [place], Change(max_bad=0.01))
    assert project.datasets.scan(version).collect().rows() == GOOD
    (row,) = project.datasets.quarantine("d")
    assert (row.line, row.source.endswith("mixed.db/t")) == (at + 1, True)
    assert row.reason.startswith(reason)


def test_a_text_of_sqlite_that_is_no_utf8_is_set_aside(project):
    place = put_sqlite(project, "id INTEGER, t TEXT", [(1, "a"), (2, "b")])
    with sqlite3.connect(project.root / "mixed.db") as connection:
        connection.execute("UPDATE t SET t = CAST(x'ff' AS TEXT) WHERE id = 2")
    connection.close()
    version = project.datasets.add("d", [place], Change(max_bad=0.5))
    assert project.datasets.scan(version).collect().rows() == [(1, "a")]
    assert project.datasets.quarantine("d")[0].reason == "t is text that is not UTF-8"


def test_the_datasets_types_hold_for_the_next_load_of_sqlite(project):
    project.datasets.add("d", [put_sqlite(project, "id, t", [(1, "a"), (2, "b")])])
    place = put_sqlite(project, "id, t", [("x", "c"), ("y", "d"), (3, 4)])
    version = project.datasets.add("d", [place], Change(mode="append", max_bad=0.7))
    assert project.datasets.scan(version).collect().rows() == [(1, "a"), (2, "b"), (3, "4")]
    assert [row.line for row in project.datasets.quarantine("d")] == [1, 2]


def test_over_the_share_nothing_of_a_database_is_committed(project):
    place = put_sqlite(project, "id INTEGER, t TEXT", [(1, "a"), ("x", "b")])
    with pytest.raises(DataError, match="1 of 2 rows are bad"):
        project.datasets.add("d", [place], Change(max_bad=0.1))
    assert project.datasets.newest() == []
    assert [row.line for row in project.datasets.quarantine("d")] == [2]


def test_marked_columns_of_a_database_stay_out_of_the_quarantine(make_project):
    project = make_project('[data.d]\npii = { t = "drop" }\n')
    project.datasets.add("d", [put_sqlite(project, "id INTEGER, t TEXT", [(1, "a"), ("x", "b")])], Change(max_bad=0.5))
    (row,) = project.datasets.quarantine("d")
    assert (row.raw, row.line) == ("", 2)


def test_a_statement_that_is_no_select_changes_nothing(project):
    put_sqlite(project, "id INTEGER", [(1,)])
    with pytest.raises(DataError):
        project.datasets.add("d", [Query("sqlite:///mixed.db", "DELETE FROM t")], Change(max_bad=0.5))
    assert project.datasets.add("d", [Query("sqlite:///mixed.db", table="t")]).rows == 1


class TestPostgres(SourceConformance):
    @pytest.fixture
    def source(self, database, tmp_path):
        database(
            "DROP TABLE IF EXISTS kit",
            "CREATE TABLE kit AS SELECT i AS n, 't' || i AS t FROM generate_series(0, 999) i",
            "DROP TABLE IF EXISTS kit_odd",
            "CREATE TABLE kit_odd AS SELECT date '2013-01-01' AS d UNION ALL SELECT date 'infinity'",
        )
        return SqlSource(tmp_path)

    @pytest.fixture
    def secret(self):
        return "not-asked-for"

    @pytest.fixture
    def place(self, postgres_url):
        return SourceRequest(url=postgres_url, named="env:WAREHOUSE_URL", query="SELECT * FROM kit ORDER BY n")

    @pytest.fixture
    def content(self):
        return pa.table({"n": pa.array(range(1000), pa.int32()), "t": [f"t{number}" for number in range(1000)]})

    @pytest.fixture
    def missing(self, place):
        return replace(place, query="", table="nowhere")

    @pytest.fixture
    def spoiled(self, place):
        return replace(place, query="SELECT * FROM kit_odd ORDER BY d"), 2
