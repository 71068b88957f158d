"""The code of a run laid out again: the commit, and what was not committed, whatever the work tree has become."""

from __future__ import annotations

import subprocess

import pytest

from mlopsfw.kernel.base.errors import DataError
from mlopsfw.lineage.checkout import carry_over, check_out, untracked
from mlopsfw.lineage.codestate import CodeRecord, CodeState


class Kept:
    """Keeps the last blob."""

    data = b""

    def put(self, data: bytes) -> str:
        self.data = data
        return "blob"


def git(folder, *words: str) -> str:
    identity = ("-c", "user.name=Tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def below(tmp_path):
    """A project below the top of its repository."""
    folder = tmp_path / "repository" / "models" / "delay"
    folder.mkdir(parents=True)
    git(tmp_path / "repository", "init", "-q")
    (folder / "train.py").write_text("rate = 1\n")
    (folder.parent / "table.bin").write_bytes(b"\0\1")
    (folder / "gone.py").write_text("old = 1\n")
    git(folder.parent, "add", ".")
    git(folder, "commit", "-q", "-m", "begin")
    return folder


def recorded(root) -> tuple[CodeRecord, bytes]:
    kept = Kept()
    return CodeRecord(**CodeState.begin(root).result(kept)), kept.data


def test_changed_removed_binary_and_new_files_come_back_as_they_were_and_nothing_else(below, tmp_path):
    (below / "train.py").write_text("rate = 2\n")
    (below / "gone.py").unlink()
    (below.parent / "table.bin").write_bytes(b"\0\2\0")
    (below / "new file.py").write_text("no end of line")
    (below / "empty.py").write_text("")
    code, changes = recorded(below)
    git(below, "stash", "-q", "-u")
    root = check_out(below, code, changes, tmp_path / "copy")
    assert root == tmp_path / "copy" / "models" / "delay"
    assert (root.parent / "table.bin").read_bytes() == b"\0\2\0"
    files = {file.name: file.read_text() for file in root.iterdir()}
    assert files == {"train.py": "rate = 2\n", "new file.py": "no end of line", "empty.py": ""}
    assert recorded(root) == (code, changes)


def test_a_linked_work_tree_has_its_commit_too(below, tmp_path):
    git(below, "worktree", "add", "-q", str(tmp_path / "linked"), "-b", "other")
    root = tmp_path / "linked" / "models" / "delay"
    (root / "train.py").write_text("rate = 3\n")
    code, changes = recorded(root)
    assert code.commit == git(below, "rev-parse", "HEAD")
    assert (check_out(root, code, changes, tmp_path / "copy") / "train.py").read_text() == "rate = 3\n"


def test_submodules_come_back_at_the_commits_that_the_run_had(below, tmp_path):
    library = tmp_path / "library"
    library.mkdir()
    git(library, "init", "-q")
    (library / "unit.py").write_text("km = 1000\n")
    git(library, "add", ".")
    git(library, "commit", "-q", "-m", "begin")
    git(below, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "my library")
    git(below, "commit", "-q", "-m", "library")
    code, changes = recorded(below)
    (below / "my library" / "unit.py").write_text("km = 1\n")
    git(below / "my library", "commit", "-q", "-a", "-m", "later")
    root = check_out(below, code, changes, tmp_path / "copy")
    assert (root / "my library" / "unit.py").read_text() == "km = 1000\n"


def test_a_commit_that_the_repository_lacks_is_an_error_that_names_it(below, tmp_path):
    with pytest.raises(DataError, match="lacks the commit aaaaaaaaaaaa"):
        check_out(below, CodeRecord(commit="a" * 40), b"", tmp_path / "copy")
    with pytest.raises(DataError, match="recorded no commit"):
        check_out(below, CodeRecord(commit="--help"), b"", tmp_path / "other")


def test_a_file_beside_the_code_is_copied_only_while_it_has_the_recorded_content(below, tmp_path):
    (below / "rows.csv").write_text("1\n")
    (below / "more.csv").write_text("2\n")
    _, changes = recorded(below)
    (below / "more.csv").write_text("3\n")
    target = tmp_path / "target"
    target.mkdir()
    assert carry_over(below, target, {**untracked(changes), "../outside.csv": "0" * 64}) == [
        "more.csv",
        "../outside.csv",
    ]
    assert [file.name for file in target.iterdir()] == ["rows.csv"]
