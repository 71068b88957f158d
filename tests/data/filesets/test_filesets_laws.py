"""Laws of sets of files: whatever is added, vacuumed, erased and collected in whatever order, every version is what it should be."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopsfw.data.filesets import index, packs
from mlopsfw.governance.subject import Subject
from mlopsfw.kernel.component import released
from mlopsfw.kernel.config.model import Retention
from mlopsfw.operations.gc import collect
from mlopsfw.project.facade import Project

KEY = "ab" * 32
DAYS = 3 * 86_400
PATHS = st.sampled_from(["a", "b", "d/a", "d/b", "e"])
BYTES = st.sampled_from([b"", b"1" * 30, b"2" * 40, b"3" * 50, b"4" * 60, b"5" * 200])
STEPS = st.one_of(
    st.tuples(st.sampled_from(["add", "append"]), st.dictionaries(PATHS, BYTES, max_size=4)),
    st.tuples(st.just("vacuum"), st.integers(1, 2)),
    st.tuples(st.just("forget"), st.sampled_from(["a", "d/*", "?"])),
    st.tuples(st.just("gc"), st.just(0)),
)


class Life:
    """A set and what its versions should hold: None where one was vacuumed."""

    def __init__(self, project):
        self.project, self.versions, self.number = project, [], 0

    def add(self, files, *, append=False):
        self.number += 1
        folder = self.project.root / f"in{self.number}"
        folder.mkdir()
        for path, data in files.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(data)
        if self.project.filesets.add("s", folder, append=append).new:
            self.versions.append({**self.versions[-1], **files} if append and self.versions else files)

    def append(self, files):
        self.add(files, append=True)

    def vacuum(self, keep):
        for file in (self.project.state / "store" / "objects").rglob("*"):
            if file.is_file():
                os.utime(file, (file.stat().st_mtime - DAYS,) * 2)
        self.project.blobs.doubt()
        for gone in self.project.version_removal.vacuum("s", Retention(keep=keep)).versions if self.versions else ():
            self.versions[gone - 1] = None

    def forget(self, pattern):
        if self.versions:
            self.project.erasures.forget("s", Subject("path", pattern, bytes.fromhex(KEY)))
            self.versions = [files and _without(files, pattern) for files in self.versions]

    def gc(self, grace):
        collect(self.project.storage, self.project.ledger, released=released(self.project.components), grace=grace)
        self.project.blobs.doubt()

    def is_as_expected(self):
        live = {number: files for number, files in enumerate(self.versions, 1) if files is not None}
        for number, files in live.items():
            version = self.project.datasets.resolve(f"data:/s@{number}")
            found = self.project.filesets.open(version)
            assert {row["path"]: data for row, data in (found[n] for n in range(len(found)))} == files
            locations = index.locations(index.of_version(self.project.blobs, version))
            needed = {locations[digest].blob for digest in found.table["digest"]}
            assert set(index.reachable(version.index, self.project.blobs).blobs) == needed
        return live

    def holds_no_more(self, live):
        """See that every byte of a shared blob is a live file's."""
        contents = {sha256(data).hexdigest() for files in live.values() for data in files.values()}
        found = [
            index.of_version(self.project.blobs, self.project.datasets.resolve(f"data:/s@{number}")) for number in live
        ]
        locations = {(name, place) for each in found for name, place in index.locations(each).items()}
        assert {name for name, _ in locations} == contents
        stored = sum(len(self.project.blobs.get(blob)) for blob in {place.blob for _, place in locations})
        assert stored == sum(place.size for _, place in locations)


def _without(files, pattern):
    return {path: data for path, data in files.items() if not fnmatchcase(path, pattern)}


@given(st.lists(STEPS, min_size=2, max_size=9))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_version_is_what_it_should_be_and_names_no_blob_in_vain(tmp_path_factory, steps):
    root = tmp_path_factory.mktemp("set")
    (root / "mlopsfw.toml").write_text('[project]\nname = "p"\n[privacy]\nkey = "env:PII"\n', encoding="utf-8")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PII", KEY)
        patched.setattr(packs, "PACK", 64)
        patched.setattr(packs, "SMALL", 100)
        patched.setattr(index, "LARGEST", 3)
        with Project.open(root) as project:
            life = Life(project)
            for what, value in steps:
                getattr(life, what)(value)
                live = life.is_as_expected()
                if what == "forget":
                    life.holds_no_more(live)
            assert not [found for found in project.doctor.examine(verify=True) if found.level == "error"]
