"""Every kind of source comes in by every mode, with the same rows: files, a workbook, tables, URLs, a bucket, a database."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import polars as pl
import pytest
from adbc_driver_postgresql import dbapi
from files_http import http_files

from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.data.intake.places import Query
from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.roles.source import SourceOptions

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]

OLD = pl.DataFrame({"id": [1, 2, 3], "name": ["a", "b", "c"], "x": [0.5, 1.5, 2.5]})
NEW = pl.DataFrame({"id": [3, 4], "name": ["C", "d"], "x": [3.5, 4.5]})
WIDE = NEW.with_columns(more=pl.Series([True, False]))


class Source:
    """A source whose rows can be exchanged.

    Args:
        folder: Where it may write.
    """

    outside = SourceOptions()
    tells = False

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        self.folder, self.request = folder, request

    def put(self, rows: pl.DataFrame) -> Path | str | Query:
        """Make the source hold `rows`; return what to add."""
        raise NotImplementedError


def file_of(suffix, write):
    class File(Source):
        def put(self, rows):
            write(rows, self.folder / f"rows{suffix}")
            return self.folder / f"rows{suffix}"

    return File


def write_excel(rows, path):
    rows.write_excel(path)


class DeltaTable(Source):
    tells = True

    def put(self, rows):
        rows.write_delta(str(self.folder / "delta"), mode="overwrite", delta_write_options={"schema_mode": "overwrite"})
        return self.folder / "delta"


class IcebergTable(Source):
    tells = True

    def put(self, rows):
        from pyiceberg.catalog.sql import SqlCatalog

        table = rows.to_arrow()
        catalog = SqlCatalog(
            "c", uri=f"sqlite:///{self.folder / 'catalog.db'}", warehouse=(self.folder / "lake").as_uri()
        )
        catalog.create_namespace_if_not_exists("n")
        found = catalog.create_table_if_not_exists("n.rows", table.schema)
        with found.update_schema() as update:
            update.union_by_name(table.schema)
        if found.current_snapshot():
            found.overwrite(table)
        else:
            found.append(table)
        catalog.close()
        return Path(self.folder / "lake" / "n" / "rows")


class HttpUrl(Source):
    outside = SourceOptions(allow_private=True)
    tells = True

    def put(self, rows):
        server = self.request.getfixturevalue("web")
        body = rows.write_csv().encode()
        return server.put("/rows.csv", body, headers={"ETag": f'"{hash(body)}"'})


class Bucket(Source):
    tells = True
    server, place, secret = "s3_server", "bucket", "aws_secret_access_key"

    def __init__(self, folder, request):
        super().__init__(folder, request)
        self.options = request.getfixturevalue(self.server).options
        request.getfixturevalue("monkeypatch").setenv("STORE_SECRET", self.options[self.secret])
        self.outside = SourceOptions(options=self.options | {self.secret: "env:STORE_SECRET"})

    def put(self, rows):
        bucket = self.request.getfixturevalue(self.place)
        for number, row in enumerate(rows.iter_slices(1)):
            row.write_parquet(f"{bucket}/in/{number}.parquet", storage_options=self.options)
        for number in range(rows.height, OLD.height):
            rows.clear().write_parquet(f"{bucket}/in/{number}.parquet", storage_options=self.options)
        return f"{bucket}/in/*.parquet"


class Container(Bucket):
    server, place, secret = "azure_server", "container", "azure_storage_account_key"


class SqliteTable(Source):
    def put(self, rows):
        database = self.folder / "rows.db"
        with sqlite3.connect(database) as connection:
            connection.execute("DROP TABLE IF EXISTS rows")
            connection.execute(f"CREATE TABLE rows ({', '.join(rows.columns)})")
            connection.executemany(f"INSERT INTO rows VALUES ({', '.join('?' * rows.width)})", rows.rows())
        connection.close()
        return Query(f"sqlite:///{database}", table="rows")


class PostgresTable(Source):
    def __init__(self, folder, request):
        super().__init__(folder, request)
        self.url = request.getfixturevalue("postgres_url")
        request.getfixturevalue("monkeypatch").setenv("WAREHOUSE_URL", self.url)

    def put(self, rows):
        with dbapi.connect(self.url) as connection, connection.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS matrix")
            cursor.adbc_ingest("matrix", rows.to_arrow())
            connection.commit()
        return Query("env:WAREHOUSE_URL", "SELECT * FROM matrix ORDER BY x")


KINDS = {
    "csv": file_of(".csv", pl.DataFrame.write_csv),
    "jsonl": file_of(".jsonl", pl.DataFrame.write_ndjson),
    "parquet": file_of(".parquet", pl.DataFrame.write_parquet),
    "ipc": file_of(".arrow", pl.DataFrame.write_ipc),
    "excel": file_of(".xlsx", write_excel),
    "delta": DeltaTable,
    "iceberg": IcebergTable,
    "http": HttpUrl,
    "bucket": Bucket,
    "container": Container,
    "sqlite": SqliteTable,
    "postgresql": PostgresTable,
}


@pytest.fixture
def web():
    with http_files() as running:
        yield running


@pytest.fixture(params=KINDS)
def source(request, tmp_path):
    folder = tmp_path / "outside"
    folder.mkdir()
    return KINDS[request.param](folder, request)


@pytest.fixture
def take(source, project):
    def take(rows, mode):
        return project.datasets.add("d", [source.put(rows)], mode, outside=source.outside, once=True)

    return take


@pytest.fixture
def found(project):
    return lambda: sorted(project.datasets.scan("d").collect().rows())


def test_full(take, found):
    assert [take(rows, "replace").version for rows in (OLD, NEW)] == [1, 2]
    assert found() == NEW.rows()
    assert not take(NEW, "replace").new


def test_append(take, found):
    for rows in (OLD, NEW):
        take(rows, "append")
    assert found() == sorted(OLD.rows() + NEW.rows())


def test_upsert(take, found):
    for rows in (OLD, NEW):
        take(rows, Change(mode="upsert", key=("id",)))
    assert found() == OLD.rows()[:2] + NEW.rows()


def test_incremental(take, found):
    for rows in (OLD, NEW):
        version = take(rows, Change(mode="incremental", watermark="id"))
    assert version.watermark["value"] == 4
    assert found() == OLD.rows() + NEW.rows()[1:]


def test_other_columns(take, found):
    take(OLD, "append")
    with pytest.raises(DataError, match="'more'"):
        take(WIDE, "append")
    assert "more" in take(WIDE, Change(drift="add")).columns
    assert [row[:3] for row in found()] == sorted(OLD.rows() + NEW.rows())


def test_what_tells_of_its_changes_is_in_the_event_and_is_not_read_again(source, project, monkeypatch):
    place = source.put(OLD)

    def add():
        return project.datasets.add("d", [place], outside=source.outside, once=True)

    assert bool(add().origin.get("files")) == source.tells
    if source.tells:
        monkeypatch.setattr("mlopsfw.data.intake.formats.Formats.read", None)  # nobody asks for rows
    assert not add().new


def test_marked_columns_are_treated(source, make_project):
    project = make_project('[data.d]\npii = { name = "drop" }\n')
    project.datasets.add("d", [source.put(OLD)], outside=source.outside)
    assert project.datasets.scan("d").collect().equals(OLD.drop("name"))


def test_the_step_reads_it(source, tmp_path):
    from mlopsfw.pipeline.run.display import Display
    from mlopsfw.project.facade import Project

    place = source.put(OLD)
    options = "".join(f'\n{name} = "{value}"' for name, value in source.outside.options.items())
    where = f'path = "{place}"'
    if isinstance(place, Query):
        where = f'sql = "{place.url}"\n' + (f'table = "{place.table}"' if place.table else f'query = "{place.query}"')
    (tmp_path / "project").mkdir(exist_ok=True)
    (tmp_path / "project" / "mlopsfw.toml").write_text(
        f'[project]\nname = "p"\n\n[steps.ingest]\ndataset = "d"\n{where}\nmode = "upsert"\nkey = ["id"]\n'
        f"allow_private = {str(source.outside.allow_private).lower()}\n\n[steps.ingest.options]{options}\n",
        encoding="utf-8",
    )
    with Project.open(tmp_path / "project") as project:
        assert project.pipeline.start(Display(project.workspace, None)).status == "done"
        assert project.datasets.scan("d").collect().rows() == OLD.rows()
        assert project.datasets.resolve("d").mode == "upsert"


@pytest.fixture
def sifted(make_project):
    """A project whose dataset d has a contract: x is below 4."""
    project = make_project('[data.d]\ncontract = "d.toml"\n')
    (project.root / "d.toml").write_text("[columns.x]\nrange = [0, 4]\n", encoding="utf-8")
    return project


def test_rows_that_break_the_contract_are_set_aside_with_a_way_to_find_them(source, sifted):
    project = sifted
    place = source.put(pl.concat([OLD, NEW]))
    version = project.datasets.add("d", [place], Change(max_bad=0.5), outside=source.outside)
    assert sorted(project.datasets.scan(version).collect().rows()) == sorted(OLD.rows() + NEW.rows()[:1])
    (row,) = project.datasets.quarantine("d")
    assert version.intake["quarantined"] == 1
    assert ("x is 4.5" in row.reason, row.line, '"d"' in row.raw) == (True, 5, True)


def test_over_the_share_the_load_fails_and_the_rows_are_kept(source, sifted):
    place = source.put(pl.concat([OLD, NEW]))
    with pytest.raises(DataError, match="1 of 5 rows are bad"):
        sifted.datasets.add("d", [place], Change(max_bad=0.1), outside=source.outside)
    assert sifted.datasets.newest() == []
    assert len(sifted.datasets.quarantine("d")) == 1


@pytest.mark.parametrize("source", [kind for kind in KINDS if kind != "iceberg"], indirect=True)  # whose types stay
def test_values_that_do_not_fit_the_datasets_types_are_set_aside(source, project):
    project.datasets.add("d", [source.put(OLD)], outside=source.outside)
    other = pl.DataFrame({"id": ["7", "8", "x"], "name": ["e", "f", "g"], "x": [1.0, 2.0, 3.0]})
    version = project.datasets.add("d", [source.put(other)], Change(mode="append", max_bad=0.5), outside=source.outside)
    (row,) = project.datasets.quarantine("d")
    assert (version.rows, '"x"' in row.raw or "x,g" in row.raw) == (5, True)
