"""Where a model came from: commit, uncommitted changes, what was installed; of a run, or of this process without one."""

from __future__ import annotations

import platform
import subprocess
from hashlib import sha256

import pytest

from mlopsfw.lineage import provenance


@pytest.fixture
def repository(project):
    """Make the project's folder a repository with one commit; return the commit."""

    def git(*words: str) -> str:
        identity = ("-c", "user.name=Tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgsign=false")
        run = subprocess.run(["git", *identity, *words], cwd=project.root, capture_output=True, text=True, check=True)
        return run.stdout.strip()

    git("init", "-q")
    (project.root / ".gitignore").write_text(".mlopsfw/\n")
    (project.root / "train.py").write_text("rate = 1\n")
    git("add", ".")
    git("commit", "-q", "-m", "begin")
    return git("rev-parse", "HEAD")


def _patch(project):
    """Return what was not committed, as git wrote it."""
    return project.blobs.get(provenance.capture(project.root, project.blobs).code["diff"]).decode()


def test_a_clean_repository_is_told_by_its_commit_alone(project, repository):
    assert provenance.capture(project.root, project.blobs).code == {"commit": repository}


def test_what_was_not_committed_is_kept_as_a_blob(project, repository):
    (project.root / "train.py").write_text("rate = 2\n")
    assert provenance.capture(project.root, project.blobs).code["commit"] == repository
    assert "+rate = 2" in _patch(project)


def test_a_file_that_was_never_added_is_kept_too_unless_it_is_ignored(project, repository):
    (project.root / "features.py").write_text("width = 8\nlast = 9")
    (project.root / "notes.tmp").write_text("ignored")
    (project.root / ".git" / "info" / "exclude").write_text("*.tmp\n")
    found = _patch(project)
    assert "+++ b/features.py" in found
    assert "+width = 8" in found
    assert "+last = 9\n\\ No newline at end of file\n" in found
    assert "ignored" not in found


def test_of_a_new_file_that_is_no_code_only_the_digest_is_kept(project, repository):
    (project.root / "people.csv").write_text("name\nAda\n")
    (project.root / "odd.py").write_bytes(b"\xff")
    (project.root / "rows.csv").write_bytes(b"1\n" * (1 << 20))
    found = _patch(project).splitlines()
    rows = sha256(b"name\nAda\n").hexdigest()
    odd = sha256(b"\xff").hexdigest()
    assert found == [
        f"untracked: odd.py, sha256 {odd}",
        f"untracked: people.csv, sha256 {rows}",
        "untracked: rows.csv, 2097152 bytes",
    ]


def test_a_new_file_can_be_put_back_from_what_was_kept(project, repository, tmp_path):
    (project.root / "features.py").write_text("width = 8\n")
    patch = _patch(project)
    (tmp_path / "p.diff").write_text(patch)
    (project.root / "features.py").unlink()
    subprocess.run(["git", "apply", str(tmp_path / "p.diff")], cwd=project.root, check=True)
    assert (project.root / "features.py").read_text() == "width = 8\n"


def test_outside_of_a_repository_there_is_no_code_state(project):
    assert provenance.capture(project.root, project.blobs).code == {}


def test_the_environment_lists_what_is_installed(project):
    installed = provenance.installed(project.blobs, provenance.capture(project.root, project.blobs))
    assert installed["python"] == platform.python_version()
    assert installed["polars"]
    assert provenance.installed(project.blobs, provenance.Provenance()) == {}


def test_a_model_registered_outside_of_a_run_carries_the_state_of_this_process(project, repository):
    version = project.registry.register("delay", project.blobs.put(b"{}"))
    assert version.code == {"commit": repository}
    assert version.environment == provenance.capture(project.root, project.blobs).environment
