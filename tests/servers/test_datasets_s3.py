"""Datasets in a bucket of a real S3 server: the same versions, digests and Delta tables as on a disk, and races without lost commits."""

from __future__ import annotations

import threading

import polars as pl
import pytest

from mlopsfw.data.tables.digest import table_digest
from mlopsfw.kernel.base.errors import DataError, NotFound, Vacuumed
from mlopsfw.kernel.config.model import Retention

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]

ROWS = pl.DataFrame({"id": [1, 2, 3], "name": ["a", None, "c"]})
MORE = pl.DataFrame({"id": [4], "name": ["d"]})


@pytest.fixture
def project(make_project, s3_server, bucket):
    options = "\n".join(f'{name} = "{value}"' for name, value in s3_server.referring.items())
    return make_project(f'[storage.object]\nurl = "{bucket}/some/prefix"\n\n[storage.object.options]\n{options}\n')


def test_a_dataset_lives_its_whole_life_in_a_bucket(project, s3_server, bucket):
    datasets = project.datasets
    assert [datasets.commit("flights", rows).version for rows in (ROWS, MORE)] == [1, 2]
    assert datasets.resolve("flights").digest == table_digest(pl.concat([ROWS, MORE]))
    datasets.commit("flights", pl.DataFrame({"other": [1]}), "replace")
    assert datasets.restore("flights", 2).rows == 4
    assert datasets.scan("flights").collect().equals(pl.concat([ROWS, MORE]))
    assert not datasets.commit("flights", pl.concat([ROWS, MORE]), "replace").new
    with pytest.raises(DataError):
        datasets.commit("flights", pl.DataFrame({"id": ["x"], "name": ["x"]}))
    for version in datasets.log("flights"):
        assert datasets.verify(version) == version
        theirs = pl.read_delta(
            f"{bucket}/some/prefix/tables/datasets/flights",
            version=version.table_version,
            storage_options=s3_server.options,
        )
        assert theirs.height == version.rows
    assert datasets.tidy("flights", older=-60) == []
    assert datasets.stocktaking("flights", older=-60) == ([], [])
    assert datasets.diff("flights", 1, 2, ["id"]).added == 1


def test_vacuum_removes_objects_and_what_is_kept_is_read_on(project, s3_server, bucket):
    datasets = project.datasets
    for number in range(4):
        datasets.commit("flights", pl.DataFrame({"id": [number]}), "replace")
    datasets.tag("flights", "golden", 2)
    done = project.version_removal.vacuum("flights", Retention(keep=1))
    assert (done.versions, done.kept) == ((1, 3), {2: ["the tag 'golden'"]})
    live = [version for version in datasets.log("flights") if version.live]
    assert [version.version for version in live] == [4, 2]
    kept = {file.path for version in live for file in datasets.manifest(version).files}
    assert {path for path, _ in datasets.files("flights").list()} == kept
    assert [datasets.verify(version).rows for version in live] == [1, 1]
    with pytest.raises(Vacuumed):
        datasets.scan("flights@1")
    where = f"{bucket}/some/prefix/tables/datasets/flights"
    assert pl.read_delta(where, storage_options=s3_server.options)["id"].to_list() == [3]


def test_racing_writers_lose_no_commit(make_project, project):
    others = [project, make_project(project.root.joinpath("mlopsfw.toml").read_text()), make_project(project.root.joinpath("mlopsfw.toml").read_text())]  # fmt: skip
    failures = []

    def write(who, one):
        try:
            for number in range(4):
                one.datasets.commit("races", pl.DataFrame({"who": [who], "number": [number]}))
        except Exception as error:  # noqa: BLE001 - shown below, where it fails the test
            failures.append(error)

    threads = [threading.Thread(target=write, args=(who, one)) for who, one in enumerate(others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [version.version for version in project.datasets.log("races")] == list(range(12, 0, -1))
    found = project.datasets.scan("races").collect()
    assert sorted(found.rows()) == [(who, number) for who in range(3) for number in range(4)]
    assert project.datasets.behind("races") == 0
    assert project.datasets.verify("races").rows == 12


def test_plain_tables_live_in_a_bucket_too(project):
    assert [project.tables.append("captures/delay", rows) for rows in (ROWS, MORE.with_columns(new=1))] == [0, 1]
    assert project.tables.scan("captures/delay").collect().height == 4
    with pytest.raises(NotFound):
        project.tables.scan("captures/none")


def test_a_reference_into_a_bucket_is_held_by_its_etag(project, s3_server, bucket, monkeypatch):
    from mlopsfw.kernel.base.errors import ReferenceChanged

    for name, value in s3_server.options.items():
        monkeypatch.setenv(name.upper() if name != "allow_http" else "AWS_ALLOW_HTTP", value)
    uri = f"{bucket}/outside.parquet"
    ROWS.write_parquet(uri, storage_options=s3_server.options)
    assert project.datasets.reference("outside", uri).rows == 3
    assert project.datasets.scan("outside").collect().equals(ROWS)
    MORE.write_parquet(uri, storage_options=s3_server.options)
    with pytest.raises(ReferenceChanged):
        project.datasets.scan("outside")


def test_a_subject_is_erased_from_a_bucket(make_project, s3_server, bucket, monkeypatch):
    from mlopsfw.data.tables.erasure import TableErasure
    from mlopsfw.governance.subject import Subject
    from mlopsfw.governance.text_search import holds, pattern

    options = "\n".join(f'{name} = "{value}"' for name, value in s3_server.referring.items())
    project = make_project(f'[storage.object]\nurl = "{bucket}/some/prefix"\n\n[storage.object.options]\n{options}\n')
    wanted, subject = pattern(["canary-7d1f0c2e"]), Subject("name", "canary-7d1f0c2e", b"k" * 32)
    with_canary = ROWS.with_columns(name=pl.Series(["a", "canary-7d1f0c2e", "c"]))
    project.datasets.commit("people", with_canary)
    project.datasets.commit("people", MORE)
    for rows in (with_canary, MORE):
        project.tables.append("captures/delay", rows)

    def found():
        keys = [entry.key for entry in project.storage.list()]
        return [key for key in keys if holds(project.storage.get(key), wanted)]

    assert len(found()) >= 4
    assert project.erasures.forget("people", subject).held["datasets"] == {"people": {1: 1, 2: 1}}
    assert TableErasure(project.services).remove("captures/delay", subject.rows) == 1
    assert found() == []
    assert [project.datasets.verify(f"data:/people@{version}").rows for version in (1, 2)] == [2, 3]
    project.tables.append("captures/delay", MORE)
    assert project.tables.scan("captures/delay").collect().height == 4
    assert project.datasets.behind("people") == 0
