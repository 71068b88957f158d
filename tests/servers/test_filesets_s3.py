"""Sets of files in a bucket of a real S3 server: added, added to, laid out, vacuumed and erased as on a disk."""

from __future__ import annotations

import pytest

from mlopsfw.governance.subject import Subject
from mlopsfw.kernel.base.errors import Vacuumed
from mlopsfw.kernel.config.model import Retention
from mlopsfw.operations import gc
from mlopsfw.project.facade import Project

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]

FACE = b"the-face-of-ann-0f3c"
LARGE = bytes(range(256)) * 8192  # 2 MiB: a blob of its own
FILES = {
    "faces/ann.png": FACE,
    "faces/ann.mov": FACE + LARGE,
    "read me: first.txt": b"read me",
    "empty": b"",
    "film": LARGE,
}


@pytest.fixture
def project(make_project, s3_server, bucket, monkeypatch):
    monkeypatch.setenv("PII", "ab" * 32)
    options = "\n".join(f'{name} = "{value}"' for name, value in s3_server.referring.items())
    return make_project(
        f'[storage.object]\nurl = "{bucket}/some/prefix"\n\n[storage.object.options]\n{options}\n'
        '[privacy]\nkey = "env:PII"\n'
    )


def write(folder, files):
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def laid(project, version, folder):
    project.filesets.open(project.datasets.resolve(f"data:/s@{version}")).get(folder)
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_set_lives_its_whole_life_in_a_bucket(project, tmp_path, monkeypatch):
    assert project.filesets.add("s", write(tmp_path / "in", FILES)).new
    assert not project.filesets.add("s", tmp_path / "in").new
    more = {**FILES, "new": b"new"}
    stored = {entry.key for entry in project.storage.list("objects/")}
    assert project.filesets.add("s", write(tmp_path / "in", more)).version == 2
    assert (
        len({entry.key for entry in project.storage.list("objects/")} - stored) == 4
    )  # a blob, a segment, the index, a manifest
    assert laid(project, 2, tmp_path / "two") == more
    with Project.open(project.root) as elsewhere:  # another machine, which remembers nothing
        elsewhere.filesets.open(elsewhere.datasets.resolve("data:/s@1")).verify()

    done = project.erasures.forget("s", Subject("path", "faces/ann.*", bytes.fromhex("ab" * 32)))
    assert done.held["datasets"] == {"s": {1: 2, 2: 2}}
    left = {path: data for path, data in more.items() if "ann" not in path}
    assert not any(
        FACE in project.blobs.get(entry.key.rpartition("/")[2]) for entry in project.storage.list("objects/")
    )
    assert laid(project, 2, tmp_path / "left") == left

    for file in list((tmp_path / "in").rglob("*")):
        if file.is_file() and file.name != "film":
            file.unlink()
    assert project.filesets.add("s", tmp_path / "in").version == 3
    monkeypatch.setattr(gc, "SAFE", -60.0)  # as if the blobs were two days old
    before = sum(1 for _ in project.storage.list("objects/"))
    assert project.version_removal.vacuum("s", Retention(keep=1)).versions == (1, 2)
    assert sum(1 for _ in project.storage.list("objects/")) < before
    assert laid(project, 3, tmp_path / "three") == {"film": LARGE}
    with pytest.raises(Vacuumed):
        laid(project, 1, tmp_path / "one")
