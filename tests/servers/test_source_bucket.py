"""Files in a bucket of a real S3 server: keys, patterns, prefixes, partitions, tables; whole or not at all, credentials by reference."""

from __future__ import annotations

from dataclasses import replace

import obstore
import polars as pl
import pytest

from mlopsfw.kernel.base.errors import ConfigError, DataError, StorageUnavailable
from mlopsfw.kernel.roles.source import SourceOptions, SourceRequest
from mlopsfw.testing.source import SourceConformance
from mlopsfw_source_bucket import objects as objectsource
from mlopsfw_source_bucket.source import BucketSource

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]

SECRET = "canary-8e04d1"
ROWS = pl.DataFrame({"id": range(2000), "name": [f"n{number}" for number in range(2000)]})


@pytest.fixture
def outside(s3_server, monkeypatch):
    monkeypatch.setenv("S3_SECRET", s3_server.options["aws_secret_access_key"])
    return SourceOptions(options=s3_server.options | {"aws_secret_access_key": "env:S3_SECRET"}, timeout=10.0)


@pytest.fixture
def store(s3_server, bucket):
    from mlopsfw.roles import open_store

    return open_store(bucket, s3_server.options, 10.0, bucket)


@pytest.fixture
def add(project, outside, bucket):
    def add(key, **options):
        return project.datasets.add("d", [f"{bucket}/{key}"], outside=outside, **({"once": True} | options))

    return add


@pytest.fixture
def ids(project):
    return lambda: project.datasets.scan("d").select("id").collect().to_series().to_list()


def put(store, **files):
    for key, rows in files.items():
        obstore.put(store, key, f"id\n{rows}\n".encode())


def test_keys_patterns_and_prefixes_mean_what_they_mean_of_folders(add, store, ids, bucket):
    put(
        store, **{"in/a.csv": 1, "in/b.csv": 2, "in/deep/c.csv": 3, "in/_log/d.csv": 4, "in/read.me": 5, "inn/e.csv": 6}
    )
    for key, expected in [
        ("in/b.csv", [2]),
        ("in/*.csv", [1, 2]),
        ("in/[!a].csv", [2]),
        ("in/**/[a-c].csv", [1, 2, 3]),
        ("in", [1, 2, 3]),
        ("in/", [1, 2, 3]),
        ("*/e.csv", [6]),
    ]:
        version = add(key, force=True)
        assert ids() == expected, key
        assert version.source == f"{bucket}/{key}"
    with pytest.raises(DataError, match="nothing of a known format"):
        add("nowhere/*.csv")


def test_folders_called_column_is_value_make_a_column(add, store, project):
    put(store, **{"in/day=2026-01-01/a.csv": 1, "in/day=2026-01-02/a.csv": 2})
    add("in/**/*.csv")
    assert [str(day) for day in project.datasets.scan("d").collect()["day"]] == ["2026-01-01", "2026-01-02"]
    put(store, **{"in/other=1/a.csv": 3})
    with pytest.raises(DataError, match=r"is partitioned by other, s3://.* by day"):
        add("in/**/*.csv")


def test_objects_that_did_not_change_are_not_read_again(add, store, ids, monkeypatch):
    put(store, **{"in/a.csv": 1, "in/b.csv": 2})
    assert add("in/*.csv").new
    with monkeypatch.context() as patch:
        patch.setattr(objectsource.ObjectFile, "open", None)  # nobody asks for bytes
        assert not add("in/*.csv").new
    put(store, **{"in/b.csv": 3})
    assert add("in/*.csv").version == 2
    assert ids() == [1, 3]
    put(store, **{"in/c.csv": 4})
    assert add("in/*.csv").version == 3


def test_a_large_object_comes_by_ranges_and_one_that_changes_on_the_way_is_an_error(add, store, monkeypatch, project):
    monkeypatch.setattr(objectsource, "_RANGE", 1000)
    body = ROWS.write_csv().encode()
    obstore.put(store, "big.csv", body)
    add("big.csv")
    assert project.datasets.scan("d").collect().equals(ROWS)
    real = objectsource.ObjectFile._chunks

    def changing(self, start):
        for number, chunk in enumerate(real(self, start)):
            yield chunk
            if number == 1:
                obstore.put(store, "big.csv", body + b"9,x\n")

    monkeypatch.setattr(objectsource.ObjectFile, "_chunks", changing)
    with pytest.raises(DataError, match="changed while mlopsfw read it"):
        add("big.csv", force=True)
    assert len(project.datasets.log("d")) == 1


def test_a_delta_table_in_a_bucket_is_read_at_a_version(project, outside, bucket, s3_server):
    for number in (1, 2):
        frame = pl.DataFrame({"id": [number]})
        frame.write_delta(f"{bucket}/lake/t", mode="append", storage_options=s3_server.options)
    for at, rows in [("", 2), ("0", 1)]:
        chosen = SourceOptions(options=outside.options, at=at)
        assert project.datasets.add("d", [f"{bucket}/lake/t"], outside=chosen).rows == rows


@pytest.mark.parametrize("log", ["lake/t/_delta_log/0.json", "lake/metadata/00001-x.metadata.json"])
def test_a_prefix_with_a_table_in_it_is_not_read_as_files_since_not_all_of_them_count(add, store, log):
    put(store, **{"lake/t/a.csv": 1, log: 2})
    with pytest.raises(DataError, match="a table of another system"):
        add("lake")


def test_a_refusal_and_a_silent_server_say_what_to_do(project, outside, bucket, monkeypatch):
    from mlopsfw.data.intake import download

    monkeypatch.setenv("S3_SECRET", SECRET)
    with pytest.raises(DataError, match="cannot be read") as caught:
        project.datasets.add("d", [f"{bucket}/x.csv"], outside=outside)
    assert "credentials" in caught.value.hint
    monkeypatch.setattr(download, "_FIRST", 0.001)
    nowhere = SourceOptions(options=outside.options | {"aws_endpoint": "http://127.0.0.1:1"}, timeout=1.0)
    with pytest.raises((DataError, StorageUnavailable)) as caught:
        project.datasets.add("d", [f"{bucket}/x.csv"], outside=nowhere)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("scheme", ["az", "azure", "abfs"])
def test_a_refusal_names_the_options_of_its_kind_of_store(project, azure_server, container, monkeypatch, scheme):
    monkeypatch.setenv("AZURE_KEY", "d3Jvbmc=")
    outside = SourceOptions(options=azure_server.options | {"azure_storage_account_key": "env:AZURE_KEY"}, timeout=10.0)
    with pytest.raises(DataError, match="cannot be read") as caught:
        project.datasets.add("d", [f"{container.replace('az:', f'{scheme}:')}/x.csv"], outside=outside)
    assert "--option azure_storage_account_name" in caught.value.hint


def test_a_secret_among_the_options_stands_by_reference_and_is_in_no_file_afterwards(project, add, store, bucket):
    from mlopsfw.governance.text_search import files_with

    with pytest.raises(ConfigError, match="the option aws_secret_access_key contains a secret in plain text"):
        project.datasets.add("d", [f"{bucket}/x.csv"], outside=SourceOptions(options={"aws_secret_access_key": SECRET}))
    put(store, **{"in/a.csv": 1})
    add("in/a.csv")
    assert files_with(project.root, ["testsecret", SECRET]) == []


class TestBucket(SourceConformance):
    @pytest.fixture
    def source(self):
        return BucketSource()

    @pytest.fixture
    def secret(self, s3_server):
        return s3_server.options["aws_secret_access_key"]

    @pytest.fixture
    def place(self, store, bucket, s3_server):
        put(store, **{"in/day=1/a.csv": 1, "in/day=2/b.csv": 2, "in/_log/c.csv": 3})
        options = SourceOptions(options=s3_server.options)
        return SourceRequest(url=f"{bucket}/in", named=f"{bucket}/in", options=options, suffixes=(".csv",))

    @pytest.fixture
    def content(self):
        return {"a.csv": b"id\n1\n", "b.csv": b"id\n2\n"}

    @pytest.fixture
    def missing(self, place):
        return replace(place, url=place.url.replace("/in", "/gone"))

    @pytest.fixture
    def change(self, store):
        return lambda: put(store, **{"in/day=2/b.csv": 3})
