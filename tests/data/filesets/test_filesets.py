"""Sets of files: what was added comes back byte for byte, only what changed is read, and nothing is written outside the folder."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopsfw.data.datasets.loading import commits
from mlopsfw.data.filesets import adding as adding_module
from mlopsfw.data.filesets import getting, packs
from mlopsfw.kernel.base.errors import Corrupt, DataError, UnknownName, UsageError
from mlopsfw.kernel.component import released
from mlopsfw.operations.gc import collect
from mlopsfw.project.facade import Project

LARGE = bytes(range(256)) * 8192  # 2 MiB: a blob of its own
FILES = {
    "a.txt": b"one",
    "deep/er/b.bin": b"\0\1",
    "empty": b"",
    "same.txt": b"one",
    "big.bin": LARGE,
    "ünï.png": b"png",
}
HOUR = 3600


def write(folder, files):
    for path, data in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def tree(folder):
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def project(bench):
    bench.write("\n")
    with bench.open() as opened:
        yield opened


@pytest.fixture(autouse=True)
def later(monkeypatch):
    """Read as if an hour from now: files made a moment ago have settled."""
    real = adding_module.time.time_ns
    monkeypatch.setattr(adding_module.time, "time_ns", lambda: real() + HOUR * 10**9)


@pytest.fixture
def read(monkeypatch):
    """The files whose bytes are read."""
    seen = []
    real_small, real_large = packs._read, packs._store_large
    monkeypatch.setattr(packs, "_read", lambda file, look: seen.append(Path(file).name) or real_small(file, look))
    monkeypatch.setattr(
        packs, "_store_large", lambda file, *rest: seen.append(Path(file).name) or real_large(file, *rest)
    )
    return seen


def test_what_was_added_comes_back_byte_for_byte(project, tmp_path):
    write(tmp_path / "in", FILES)
    version = project.filesets.add("photos", tmp_path / "in")
    files = project.filesets.open(version)
    assert files.table["path"].to_list() == sorted(FILES)
    assert dict(files.table.select("path", "digest").rows()) == {
        p: hashlib.sha256(d).hexdigest() for p, d in FILES.items()
    }
    assert dict(files.table.select("path", "type").rows())["ünï.png"] == "image/png"
    laid = files.get(tmp_path / "out")
    assert (tree(tmp_path / "out"), laid.written) == (FILES, len(FILES))
    assert files.get(tmp_path / "out").written == 0
    assert {row["path"]: data for row, data in (files[number] for number in range(len(files)))} == FILES


def test_many_blobs_of_many_files_come_back(project, tmp_path, monkeypatch):
    monkeypatch.setattr(packs, "PACK", 64)
    files = {f"{number:04}": b"%d" % number * (number % 7) for number in range(500)}
    write(tmp_path / "in", files)
    project.filesets.open(project.filesets.add("s", tmp_path / "in")).get(tmp_path / "out")
    assert tree(tmp_path / "out") == files


@given(
    st.dictionaries(
        st.lists(st.sampled_from(["a", "b", "ä", "c d"]), min_size=1, max_size=3).map("/".join),
        st.binary(max_size=40),
        max_size=8,
    )
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_tree_comes_back(tmp_path_factory, files):
    files = {path: data for path, data in files.items() if not any(other.startswith(f"{path}/") for other in files)}
    root = tmp_path_factory.mktemp("set")
    (root / "in").mkdir()
    (root / "mlopsfw.toml").write_text('[project]\nname = "p"\n', encoding="utf-8")
    write(root / "in", files)
    with Project.open(root) as project:
        project.filesets.open(project.filesets.add("s", root / "in")).get(root / "out")
    assert tree(root / "out") == files


def test_the_same_folder_makes_no_new_version_and_is_not_read_again(project, tmp_path, read):
    write(tmp_path / "in", FILES)
    project.filesets.add("photos", tmp_path / "in")
    read.clear()
    assert not project.filesets.add("photos", tmp_path / "in").new
    assert read == []


def test_only_what_changed_is_read_and_only_what_is_new_is_stored(project, tmp_path, read):
    write(tmp_path / "in", FILES)
    project.filesets.add("photos", tmp_path / "in")
    read.clear()
    write(tmp_path / "in", {"a.txt": b"two", "new": LARGE})
    blobs = sum(1 for _ in project.storage.list("objects/"))
    version = project.filesets.add("photos", tmp_path / "in")
    assert sorted(read) == ["a.txt", "new"]
    assert (
        sum(1 for _ in project.storage.list("objects/")) == blobs + 4
    )  # the text, the index, its segment, the manifest; LARGE is there
    assert project.filesets.open(version).read("a.txt") == b"two"
    assert project.filesets.open(project.datasets.resolve("data:/photos@1")).read("a.txt") == b"one"


def test_a_file_that_may_have_changed_within_a_tick_is_read_again(project, tmp_path, monkeypatch, read):
    monkeypatch.undo()
    (tmp_path / "in").mkdir()
    file = tmp_path / "in" / "a"
    file.write_bytes(b"1")
    before = file.stat()
    project.filesets.add("s", tmp_path / "in")
    file.write_bytes(b"2")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert project.filesets.open(project.filesets.add("s", tmp_path / "in")).read("a") == b"2"


def test_append_keeps_files_under_other_paths(project, tmp_path):
    write(tmp_path / "one", {"a": b"1", "b": b"1"})
    write(tmp_path / "two", {"b": b"2", "c": b"2"})
    project.filesets.add("s", tmp_path / "one")
    project.filesets.open(project.filesets.add("s", tmp_path / "two", append=True)).get(tmp_path / "out")
    assert tree(tmp_path / "out") == {"a": b"1", "b": b"2", "c": b"2"}


def test_two_additions_at_once_lose_nothing(project, bench, tmp_path, monkeypatch):
    for name in ("one", "two", "three"):
        write(tmp_path / name, {name: name.encode()})
    project.filesets.add("s", tmp_path / "one")
    real = commits.Commit.make

    def late(*args, **options):
        monkeypatch.setattr(commits.Commit, "make", real)
        with bench.open() as other:
            other.filesets.add("s", tmp_path / "two", append=True)
        return real(*args, **options)

    monkeypatch.setattr(commits.Commit, "make", late)
    files = project.filesets.open(project.filesets.add("s", tmp_path / "three", append=True))
    files.get(tmp_path / "out")
    assert tree(tmp_path / "out") == {"one": b"one", "two": b"two", "three": b"three"}


def test_a_table_and_a_set_do_not_take_each_others_place(project, tmp_path):
    write(tmp_path / "in", {"a": b"1"})
    project.datasets.commit("t", pl.DataFrame({"x": [1]}))
    project.filesets.add("s", tmp_path / "in")
    with pytest.raises(UsageError, match="'t' is a table"):
        project.filesets.add("t", tmp_path / "in")
    with pytest.raises(UsageError, match="'s' is a set of files"):
        project.datasets.commit("s", pl.DataFrame({"x": [1]}), "replace")


def test_bytes_that_rot_are_found(project, tmp_path):
    write(tmp_path / "in", {"a": b"123", "b": b"456"})
    files = project.filesets.open(project.filesets.add("s", tmp_path / "in"))
    files.verify()
    key = next(entry.key for entry in project.storage.list("objects/") if files.location("a").blob in entry.key)
    project.storage.put(key, b"12x456")
    with pytest.raises(Corrupt):
        project.filesets.open(files.version).verify()


def test_the_projects_own_folder_is_refused(project):
    with pytest.raises(UsageError, match="own state"):
        project.filesets.add("s", project.root)


def test_a_step_returns_a_set_as_it_took_it(bench, tmp_path):
    step = '[steps.same]\npython = "work:same"\ninputs = { photos = "data:/photos" }\n'
    bench.write(step, work="from mlopsfw import FileSet\ndef same(photos: FileSet): return photos\n")
    write(tmp_path / "in", {"a": b"123"})
    with bench.open() as project:
        project.filesets.add("photos", tmp_path / "in")
    assert bench.run().outputs["same"]["result"].ref == "data:/photos@1"


def test_a_restored_version_is_read_and_collecting_garbage_keeps_what_versions_need(project, tmp_path):
    write(tmp_path / "in", FILES)
    project.filesets.add("s", tmp_path / "in")
    write(tmp_path / "in", {"a.txt": b"two"})
    project.filesets.add("s", tmp_path / "in")
    project.datasets.restore("s", 1)
    collect(project.storage, project.ledger, released=released(project.components), grace=0)
    for number, expected in ((1, b"one"), (2, b"two"), (3, b"one")):
        files = project.filesets.open(project.datasets.resolve(f"data:/s@{number}"))
        assert (files.read("a.txt"), files.read("big.bin")) == (expected, LARGE)


def test_sync_removes_what_the_set_has_not_and_nothing_beyond_links(project, tmp_path):
    write(tmp_path / "in", {"a": b"1", "d/b": b"2"})
    files = project.filesets.open(project.filesets.add("s", tmp_path / "in"))
    outside = tmp_path / "outside"
    write(outside, {"precious": b"!"})
    write(tmp_path / "out", {"a": b"old", "gone/x": b"3"})
    (tmp_path / "out" / "link").symlink_to(outside)
    laid = files.get(tmp_path / "out", sync=True, force=True)
    assert (laid.written, laid.removed, tree(tmp_path / "out")) == (2, 2, {"a": b"1", "d/b": b"2"})
    assert tree(outside) == {"precious": b"!"}


@pytest.mark.parametrize("own", ["a", "d"], ids=["in the place of a file", "in the place of a folder"])
def test_a_file_of_the_users_own_is_not_overwritten(project, tmp_path, own):
    write(tmp_path / "in", {"a": b"1", "d/b": b"2"})
    project.filesets.add("s", tmp_path / "in")
    write(tmp_path / "in", {"a": b"other"})
    files = project.filesets.open(project.filesets.add("s", tmp_path / "in"))
    write(tmp_path / "out", {own: b"mine alone"})
    with pytest.raises(DataError, match="no version of s has its content"):
        files.get(tmp_path / "out")
    assert tree(tmp_path / "out") == {own: b"mine alone"}
    files.get(tmp_path / "out", force=True)
    write(tmp_path / "out", {"a": b"1"})  # the first version's: it can be had again
    assert files.get(tmp_path / "out").written == 1


def test_sync_removes_no_file_that_nobody_could_get_back(project, tmp_path):
    write(tmp_path / "in", {"a": b"1", "b": b"2"})
    files = project.filesets.open(project.filesets.add("s", tmp_path / "in"))
    write(tmp_path / "out", {"copy/of/a": b"1", "thesis": b"mine alone"})
    with pytest.raises(DataError, match="thesis exists"):
        files.get(tmp_path / "out", sync=True)
    assert tree(tmp_path / "out") == {"copy/of/a": b"1", "thesis": b"mine alone"}
    (tmp_path / "out" / "thesis").unlink()
    assert files.get(tmp_path / "out", sync=True).removed == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "b"]


def test_nothing_is_written_through_a_link_or_outside_the_folder(project, tmp_path):
    write(tmp_path / "in", {"d/a": b"1"})
    files = project.filesets.open(project.filesets.add("s", tmp_path / "in"))
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "d").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="is a link"):
        files.get(tmp_path / "out")
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("path", ["../a", "/etc/a", "a/../../b", "x\0y", ""])
def test_a_path_that_leads_out_is_refused_before_anything_is_written(project, tmp_path, path):
    write(tmp_path / "in", {"a": b"1"})
    files = project.filesets.open(project.filesets.add("s", tmp_path / "in"))
    files.__dict__["table"] = pl.concat([files.table, files.table.with_columns(path=pl.lit(path))])
    with pytest.raises(DataError, match="cannot write"):
        files.get(tmp_path / "out")
    assert tree(tmp_path / "out") == {}


def broken(folder, what):
    if what == "a dangling link":
        (folder / "x").symlink_to(folder / "nowhere")
    elif what == "a link to a folder":
        (folder / "x").symlink_to(folder.parent)
    elif what == "a link out of the folder":
        (folder.parent / "secret").write_text("root:x:0:0")
        (folder / "x").symlink_to("../secret")
    elif what == "a pipe":
        os.mkfifo(folder / "x")
    else:
        (folder / os.fsdecode(b"\xff.png")).write_bytes(b"")


@pytest.mark.parametrize(
    "what", ["a dangling link", "a link to a folder", "a link out of the folder", "a pipe", "a name that is no UTF-8"]
)
def test_what_cannot_be_kept_is_named_and_nothing_is_committed(project, tmp_path, what):
    write(tmp_path / "in", {"a": b"1"})
    broken(tmp_path / "in", what)
    with pytest.raises(DataError, match=r"x'|xff|\\udcff"):
        project.filesets.add("s", tmp_path / "in")
    assert project.datasets.history("s").latest is None


@pytest.mark.parametrize("size", [10, len(LARGE)])
def test_a_file_that_changes_while_it_is_read_is_an_error(project, tmp_path, monkeypatch, size):
    write(tmp_path / "in", {"a": bytes(size)})
    real = packs.look_at

    def changed(file):
        with Path(file).open("ab") as stream:
            stream.write(b"more")
        return real(file)

    monkeypatch.setattr(packs, "look_at", changed)
    with pytest.raises(DataError, match="changed while mlopsfw read it"):
        project.filesets.add("s", tmp_path / "in")
    assert project.datasets.history("s").latest is None


def test_a_file_that_is_gone_when_it_is_to_be_read_is_named_and_nothing_is_committed(project, tmp_path, monkeypatch):
    write(tmp_path / "in", {"a": b"1", "gone": b"2"})
    real = adding_module.walk

    def walked(folder):
        found = real(folder)
        (tmp_path / "in" / "gone").unlink()
        return found

    monkeypatch.setattr(adding_module, "walk", walked)
    with pytest.raises(DataError, match="gone cannot be read: No such file"):
        project.filesets.add("s", tmp_path / "in")
    assert project.datasets.history("s").latest is None


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that gives an input/output error")
def test_a_file_whose_bytes_the_system_does_not_give_is_named(project, tmp_path, monkeypatch):
    write(tmp_path / "in", {"a": b"1", "broken": b"2"})
    real = Path.read_bytes

    def read_bytes(file):
        if file.name == "broken":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(file))
        return real(file)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with pytest.raises(DataError, match="broken cannot be read: Input/output error"):
        project.filesets.add("s", tmp_path / "in")
    assert project.datasets.history("s").latest is None


FORBIDDEN = """
import os, sys
import pyarrow
from mlopsfw.kernel.base.errors import DataError
from mlopsfw.data.filesets import packs
from mlopsfw.data.filesets.walk import look_at
class Blobs:
    def put(self, data): return "x"
if os.geteuid() == 0: os.seteuid(65534)
try: list(packs.store([(sys.argv[1], look_at(sys.argv[1]))], Blobs(), lambda digest: False))
except DataError as error: print(error.message)
"""


@pytest.mark.parametrize("size", [1, len(LARGE)])
def test_a_file_that_may_not_be_read_is_named(size):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        file = Path(folder) / "secret"
        file.write_bytes(bytes(size))
        file.chmod(0)
        said = subprocess.check_output([sys.executable, "-c", FORBIDDEN, str(file)], text=True)
        assert said == f"{file} cannot be read: Permission denied\n"


@pytest.mark.parametrize("pair", [("a/B", "a/b"), ("Straße", "STRASSE"), ("caf\u00e9", "cafe\u0301")])
def test_names_that_are_one_file_where_case_is_ignored_are_refused_there_before_anything_is_written(
    project, tmp_path, monkeypatch, pair
):
    write(tmp_path / "in", {path: path.encode() for path in pair})
    files = project.filesets.open(project.filesets.add("s", tmp_path / "in"))
    files.get(tmp_path / "here")
    assert len(tree(tmp_path / "here")) == 2
    monkeypatch.setattr(getting, "_ignores_case", lambda folder: True)
    with pytest.raises(DataError, match="name the same file on this machine"):
        files.get(tmp_path / "out")
    assert tree(tmp_path / "out") == {}


KILLED = """
import os, signal, sys
from pathlib import Path
from mlopsfw.data.filesets import adding, packs
from mlopsfw.project.facade import Project
adding._EVERY = 0
real, seen = packs._store_group, []
def some(group, blobs, has):
    seen.append(group)
    if len(seen) > 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(group, blobs, has)
packs._store_group = some
adding.time.time_ns = lambda real=adding.time.time_ns: real() + 3600 * 10**9
Project.open(Path(sys.argv[1])).filesets.add("s", Path(sys.argv[2]))
"""


def test_after_a_kill_nothing_is_there_and_what_was_stored_is_not_read_again(bench, project, tmp_path, read):
    write(tmp_path / "in", {f"{number}": LARGE + bytes([number]) for number in range(10)})
    killed = subprocess.run([sys.executable, "-c", KILLED, bench.root, tmp_path / "in"], check=False)
    assert killed.returncode == -9
    assert project.datasets.history("s").latest is None
    version = project.filesets.add("s", tmp_path / "in")
    assert 0 < len(read) < 10
    project.filesets.open(version).get(tmp_path / "out")
    assert tree(tmp_path / "out") == tree(tmp_path / "in")


def test_a_step_takes_a_set_and_is_cached_by_its_content(bench, tmp_path):
    step = '[steps.sizes]\npython = "work:sizes"\ninputs = { photos = "data:/photos" }\n'
    code = "from mlopsfw import FileSet\ndef sizes(photos: FileSet): return {row['path']: len(data) for row, data in (photos[n] for n in range(len(photos)))}\n"
    bench.write(step, work=code)
    write(tmp_path / "in", {"a": b"123", "b": b"1"})
    with bench.open() as project:
        project.filesets.add("photos", tmp_path / "in")
    assert bench.value(bench.run(), "sizes") == {"a": 3, "b": 1}
    bench.run()
    assert bench.ran() == []


def test_what_is_no_set_and_what_is_not_in_it_is_said(project, tmp_path):
    table = project.datasets.commit("t", pl.DataFrame({"x": [1]}))
    with pytest.raises(UsageError, match="is a table"):
        project.filesets.open(table)
    write(tmp_path / "in", {"photo.png": b""})
    version = project.filesets.add("s", tmp_path / "in")
    with pytest.raises(UnknownName) as caught:
        project.filesets.open(version).read("photo.pn")
    assert "photo.png" in caught.value.hint


def test_a_sparse_file_of_five_gigabytes_is_taken_in_constant_memory(bench, tmp_path):
    bench.write("\n")
    (tmp_path / "in").mkdir()
    with (tmp_path / "in" / "large").open("wb") as file:
        file.truncate(5 << 30)
    code = "import resource, sys\nfrom pathlib import Path\nfrom mlopsfw.data.filesets import packs\nfrom mlopsfw.data.filesets.walk import walk\n"
    code += "class Blobs:\n    def put(self, data): return 'x'\n"
    code += "found = walk(Path(sys.argv[1]))\nbefore = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
    code += "list(packs.store([(sys.argv[1] + '/' + found.paths[0], found.look(0))], Blobs(), lambda digest: True))\n"
    code += "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)\n"
    grown = int(subprocess.check_output([sys.executable, "-c", code, tmp_path / "in"]))
    assert grown < 50, "MB"


@pytest.mark.parametrize("where", [".", "..", ".mlopsfw", ".mlopsfw/store", "link"])
def test_sync_never_removes_the_project_itself(project, tmp_path, where):
    write(tmp_path / "in", {"a": b"1"})
    files = project.filesets.open(project.filesets.add("s", tmp_path / "in"))
    root = project.state.parent
    (root / "link").symlink_to(root)
    before = tree(root)
    with pytest.raises(UsageError, match="own state"):
        files.get(root / where, sync=True)
    assert tree(root) == before
