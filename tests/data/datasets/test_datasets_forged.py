"""A project that was imported may have been forged: its hash chains are whole, and still no file outside of its tables is read or deleted."""

from __future__ import annotations

import msgspec
import polars as pl
import pytest

from mlopsfw.data.datasets.events import DatasetErased
from mlopsfw.data.datasets.removal.erasure import RowErasure
from mlopsfw.data.tables import manifest as manifests
from mlopsfw.errors import MlopsfwError
from mlopsfw.kernel.config.model import Retention
from mlopsfw.kernel.events.record import PlainRecord

OUTSIDE = [
    "../../../../../victim.parquet", "{root}/victim.parquet", "file://{root}/victim.parquet", "file:///etc/passwd", "a/../../x", "..",
    "", ".", "./x", "a//b", "a/", "\\..\\x", "C:x", "C:\\x", "s3://bucket/x", "http://169.254.169.254/x", "a\0b", "%2e%2e/x", "a/./b",
    "\uff0e\uff0e/x", "x\n", "~/x", "//host/x",
]  # fmt: skip


@pytest.fixture
def victim(project):
    """A file that lies beside the project, as five folders above the table do."""
    rows = pl.DataFrame({"id": [1, 2]})
    for _ in range(2):
        project.datasets.commit("trips", rows, "replace", force=True)
    file = project.root / "victim.parquet"
    rows.write_parquet(file)
    return file


def forge(project, path):
    """Append a version whose manifest names another file, with a chain that is whole."""
    newest = project.datasets.resolve("trips")
    kept = project.datasets.manifest(newest)
    forged = msgspec.structs.replace(kept, files=(msgspec.structs.replace(kept.files[0], path=path),))
    digest = project.blobs.put(msgspec.json.encode(forged))
    stream = project.ledger.stream("dataset/trips")
    (*_, last) = stream.events()
    stream.append(PlainRecord(last.type, {**last.body, "manifest": digest, "version": newest.version + 1}))
    return digest


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_manifest_that_names_no_file_of_its_table_is_refused(path, project):
    file = manifests.DataFile(path="part-1.parquet", rows=1, size=1, modified=1)
    encoded = msgspec.json.encode(manifests.Manifest(schema=b"", files=(file,), blocks=()))
    forged = encoded.replace(b'"part-1.parquet"', msgspec.json.encode(path.format(root=project.root)))
    with pytest.raises(MlopsfwError, match="manifest"):
        manifests.load(project.blobs.put(forged), project.blobs)


@pytest.mark.parametrize("path", ["../../../../../victim.parquet", "{root}/victim.parquet"])
def test_no_verb_reads_or_deletes_the_file_that_a_forged_version_names(path, project, victim):
    before = victim.read_bytes()
    forge(project, path.format(root=project.root))
    for act in (
        lambda: project.datasets.scan("trips").collect(),
        lambda: project.datasets.commit("trips", pl.DataFrame({"id": [9]}), "append"),
        lambda: project.version_removal.vacuum("trips", Retention(keep=1)),
        lambda: project.datasets.tidy("trips"),
    ):
        with pytest.raises(MlopsfwError, match="manifest"):
            act()
    assert victim.read_bytes() == before


@pytest.mark.parametrize("path", ["../../../../../victim.parquet", "{root}/victim.parquet"])
def test_an_erasure_that_was_forged_deletes_no_file_outside_of_its_table(path, project, victim):
    forged = DatasetErased(erasure="x", subject="x", versions=(), files=(path.format(root=project.root),))
    project.ledger.stream("dataset/trips").append(forged)
    with pytest.raises(MlopsfwError, match=r"victim\.parquet' is no file of"):
        RowErasure(project.services, project.datasets, project.filesets.erasure).sweep("trips")
    assert victim.exists()
