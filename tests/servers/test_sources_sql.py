"""Rows of real databases: every type, more rows than fit, what comes again, and no password in sight."""

from __future__ import annotations

import datetime as dt
import sqlite3
import subprocess
import sys
from uuid import UUID

import polars as pl
import pytest
from adbc_driver_postgresql import dbapi
from click.testing import CliRunner

from mlopsfw.cli.root import cli
from mlopsfw.datasets.change import Change
from mlopsfw.datasets.sources import sqlsource
from mlopsfw.errors import ConfigError, DataError, UsageError

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


def read(project, url, query):
    return sqlsource.read(sqlsource.address(url, project.secrets, project.root), query)


@pytest.mark.usefixtures("database")
def test_every_type_comes_as_its_own_or_as_a_text(project):
    version = project.datasets.commit("d", read(project, "env:WAREHOUSE_URL", EVERY_TYPE), "replace")
    assert project.datasets.scan(version).collect().row(0) == (
        1, 2, 1.25, 1.5, "x", True, dt.date(2013, 1, 2), dt.datetime(2013, 1, 2, 3, 4, 5),  # noqa: DTZ001 - SQL's, of no zone
        dt.datetime(2013, 1, 2, 1, 4, 5, tzinfo=dt.UTC), "10:00:00", '{"k": 1}',
        str(UUID("c2d29867-3d0b-d497-9191-18a9d8ee7830")), [1, 2], None, b"\x00\xff",
    )  # fmt: skip


def test_loads_go_on_where_the_last_one_ended(project, database):
    database(
        "DROP TABLE IF EXISTS trips", "CREATE TABLE trips AS SELECT i AS id, i * 2 AS x FROM generate_series(1, 1000) i"
    )
    query = sqlsource.query_of("", "public.trips")
    assert query == 'SELECT * FROM "public"."trips"'
    change = Change(mode="incremental", watermark="id")
    assert project.datasets.commit("trips", read(project, "env:WAREHOUSE_URL", query), change).rows == 1000
    database("INSERT INTO trips VALUES (1001, 1), (5, 5)")
    assert project.datasets.commit("trips", read(project, "env:WAREHOUSE_URL", query), change).rows == 1001
    database("UPDATE trips SET x = 0 WHERE id = 1")
    upsert = Change(mode="upsert", key=("id",))
    again = project.datasets.commit(
        "trips", read(project, "env:WAREHOUSE_URL", "SELECT * FROM trips WHERE id = 1"), upsert
    )
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
    assert "'x'" in newest.reason
    assert "700" in first.reason


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    "value",
    [
        "date 'infinity'",
        "date '-infinity'",
        "timestamp 'infinity'",
        "timestamptz '-infinity'",
        "12.5::money",
        "point(1, 2)",
        "'::1'::inet",
    ],
)
def test_what_no_table_can_hold_is_an_error_that_says_what_to_write(project, value):
    with pytest.raises(DataError, match="column 'a'") as told:
        project.datasets.commit("d", read(project, "env:WAREHOUSE_URL", f"SELECT {value} AS a"))
    assert "::" in told.value.hint or "NULLIF" in told.value.hint


@pytest.mark.usefixtures("database")
def test_a_numeric_beyond_a_float64_is_an_error_and_an_infinite_one_is_infinite(project):
    with pytest.raises(DataError, match="'a' holds a number beyond a float64"):
        project.datasets.commit(
            "d", read(project, "env:WAREHOUSE_URL", "SELECT -('1' || repeat('0', 400))::numeric AS a")
        )
    assert project.datasets.newest() == []
    query = "SELECT v::numeric AS a FROM unnest(ARRAY['Infinity', '-Infinity', '1e308', NULL]) v"
    version = project.datasets.commit("d", read(project, "env:WAREHOUSE_URL", query))
    assert project.datasets.scan(version).collect()["a"].to_list() == [float("inf"), float("-inf"), 1e308, None]


def test_a_load_that_failed_holds_no_lock(project, database):
    database("DROP TABLE IF EXISTS held", "CREATE TABLE held AS SELECT i AS id FROM generate_series(1, 200000) i")
    project.datasets.commit("held", pl.DataFrame({"other": [1]}))
    with pytest.raises(DataError) as failed:
        project.datasets.commit("held", read(project, "env:WAREHOUSE_URL", "SELECT * FROM held"))
    database("SET lock_timeout = 3000", "DROP TABLE held")
    assert failed.value.__traceback__ is not None  # while it is alive its frames are


@pytest.mark.usefixtures("database")
def test_days_beyond_pythons_calendar_are_kept(project):
    version = project.datasets.commit(
        "d", read(project, "env:WAREHOUSE_URL", "SELECT date '4000-01-01 BC' AS a, date '20000-01-01' AS b")
    )
    assert project.datasets.scan(version).select(pl.all().to_physical()).collect().row(0) == (-2180132, 6585322)


def test_a_column_of_several_types_says_what_to_write(project):
    with sqlite3.connect(project.root / "a.db") as connection:
        connection.execute("CREATE TABLE t (a INTEGER)")
        connection.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(3000)] + [("word",)])
    connection.close()
    with pytest.raises(DataError, match="Type mismatch") as told:
        project.datasets.commit("d", read(project, "sqlite:///a.db", "SELECT * FROM t"))
    assert "CAST" in told.value.hint
    version = project.datasets.commit("d", read(project, "sqlite:///a.db", "SELECT CAST(a AS TEXT) AS a FROM t"))
    assert version.rows == 3001


@pytest.mark.usefixtures("database")
def test_a_query_without_rows_makes_a_table_of_its_columns(project):
    version = project.datasets.commit("d", read(project, "env:WAREHOUSE_URL", "SELECT 1 AS a, 'x' AS b WHERE false"))
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
        project.datasets.commit("d", read(project, "env:WAREHOUSE_URL", query))
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
    told = run() + run()
    assert [version.rows for version in project.datasets.log("trips")] == [11, 10]
    written = [file.read_bytes() for file in project.root.rglob("*") if file.is_file()]
    assert len(written) > 10
    assert not any(b"not-asked-for" in data or postgres_url.encode() in data for data in written)
    assert "not-asked-for" not in told


FLAT = """
import resource, sys
from mlopsfw.datasets.sources import sqlsource

rows = high = 0
for batch in sqlsource.read(sys.argv[1], "SELECT i, repeat('text ', 40) || i AS t FROM generate_series(1, %s) i" % sys.argv[2]):
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
    rows = read(project, "sqlite:///a b.db", sqlsource.query_of("", 'odd "name'))
    version = project.datasets.commit("d", rows)
    assert project.datasets.scan(version).collect().rows() == [(1, 1.5, "ä"), (2, None, None)]
    assert version.rows == 2


def test_a_database_that_is_not_there_is_not_made(project):
    with pytest.raises(DataError, match="there is no database"):
        list(read(project, "sqlite:///gone.db", "SELECT 1"))
    assert not (project.root / "gone.db").exists()


@pytest.mark.parametrize(
    ("url", "error", "complaint"),
    [
        ("postgresql://me:secret@host/db", UsageError, "env:WAREHOUSE_URL"),
        ("postgressql://host/db", UsageError, "postgresql"),
        ("mysql://host/db", UsageError, "no kind of database"),
        ("file.db", UsageError, "no kind of database"),
        ("env:NOT_SET_ANYWHERE", ConfigError, "NOT_SET_ANYWHERE"),
    ],
)
def test_an_address_that_cannot_be_is_told_without_its_secret(project, url, error, complaint):
    with pytest.raises(error, match=complaint) as caught:
        sqlsource.address(url, project.secrets, project.root)
    assert "secret@" not in str(caught.value)


def test_events_name_the_host_and_not_who_asked():
    assert sqlsource.shown("postgresql://me:secret@host:5432/db?x=1") == "postgresql://host:5432/db"


@pytest.mark.parametrize(("query", "table"), [("", ""), ("SELECT 1", "t")])
def test_a_query_or_a_table_is_asked_for_and_not_both(query, table):
    with pytest.raises(UsageError, match="by a query or a table"):
        sqlsource.query_of(query, table)
