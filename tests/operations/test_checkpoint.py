"""A checkpoint outside of the store finds what the store alone cannot show: a tail that was cut or written anew."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlopsfw import Project, start_run
from mlopsfw.kernel.base.errors import ChainBroken, DataError, UsageError
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.ledger.layout import entry_key, segment_key
from mlopsfw.operations import checkpoint as checkpoints
from mlopsfw.operations.audit import audit, checkpoint_of


def registered(project, versions):
    """Append some events to a stream that stays open, and end a run."""
    for number in range(versions):
        project.ledger.stream("model/delay").append(PlainRecord("test.happened", {"n": number}))
    with start_run(project=project) as run:
        run.log_param("x", 1)
    return run


def taken(project):
    return checkpoint_of(audit(project.storage), project.config.name, "2026-01-01T00:00:00.000000Z")


def problems(project, checkpoint):
    return [problem for stream in audit(project.storage, checkpoint=checkpoint) for problem in stream.problems]


def test_a_ledger_that_grew_extends_its_checkpoint(project):
    run = registered(project, 3)
    kept = taken(project)
    assert problems(project, kept) == []
    registered(project, 2)
    assert problems(project, kept) == []
    assert kept.heads["model/delay"].seq == 3
    assert kept.heads[f"run/{run.id}"].seq == 3


def test_a_cut_tail_is_found_and_without_a_checkpoint_it_is_not(project):
    registered(project, 3)
    kept = taken(project)
    project.storage.delete(entry_key("model/delay", 3))
    assert [problem for stream in audit(project.storage) for problem in stream.problems] == []
    assert problems(project, kept) == ["model/delay ends with #2, and had #3 at the checkpoint: its tail was cut"]


def test_a_tail_written_anew_with_hashes_that_fit_is_found(project):
    registered(project, 3)
    kept = taken(project)
    project.storage.delete(entry_key("model/delay", 3))
    with Project.open(project.root) as other:
        other.ledger.stream("model/delay").append(PlainRecord("test.happened", {"n": 99}))
    assert [problem for stream in audit(project.storage) for problem in stream.problems] == []
    assert problems(project, kept) == ["model/delay #3 is not the event of the checkpoint: the stream was rewritten"]


def test_a_stream_that_was_removed_whole_is_found(project):
    run = registered(project, 1)
    kept = taken(project)
    project.storage.delete(segment_key(f"run/{run.id}", 1))
    assert problems(project, kept) == [f"run/{run.id}: the whole stream was there at the checkpoint, and is missing"]


def test_sealing_changes_no_head(project):
    stream = project.ledger.stream("run/x")
    stream.append(PlainRecord("test.happened", {}))
    kept = taken(project)
    stream.seal(PlainRecord("test.happened", {}))
    assert problems(project, kept) == []


def test_a_broken_ledger_is_no_measure(project):
    registered(project, 3)
    project.storage.delete(entry_key("model/delay", 2))
    with pytest.raises(ChainBroken):
        taken(project)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", DataError),
        (b"\n\n", DataError),
        (b"[1]\n", DataError),
        (b"{}\n", DataError),
        (b'{"project":"p","time":"t","heads":{"a":[0,"' + b"0" * 64 + b'"]}}', DataError),
        (b'{"project":"p","time":"t","heads":{"a":[1,"xyz"]}}', DataError),
        (b'{"project":"p","time":"t","heads":{},"format":2}', DataError),
        (b"\xff\xfe", DataError),
        (b"[" * 100_000, DataError),
        (None, UsageError),
    ],
)
def test_what_is_no_checkpoint_is_said(tmp_path, content, error):
    file = tmp_path / "checkpoints.jsonl"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(error, match="checkpoints"):
        checkpoints.read(file, "p")


def test_a_line_that_was_cut_spoils_no_later_one(project, tmp_path):
    registered(project, 1)
    kept, file = taken(project), tmp_path / "checkpoints.jsonl"
    file.write_bytes(kept.encoded()[:100])
    checkpoints.append(file, kept)
    assert checkpoints.read(file, project.config.name) == kept
    assert len(file.read_bytes().splitlines()) == 2
    with file.open("ab") as torn:
        torn.write(b'{"proj')
    assert checkpoints.read(file, project.config.name) == kept


def test_a_file_of_another_project_is_refused(project, tmp_path):
    file = tmp_path / "checkpoints.jsonl"
    checkpoints.append(file, taken(project))
    with pytest.raises(UsageError, match="of the project"):
        checkpoints.read(file, "another")


def test_the_verbs(project):
    registered(project, 3)
    root, file = project.workspace.root, project.workspace.root.parent / "elsewhere" / "checkpoints.jsonl"

    def mlopsfw(*args):
        command = [sys.executable, "-m", "mlopsfw", "audit", *args]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    assert mlopsfw("checkpoint")[0] == 2
    code, out, _ = mlopsfw("checkpoint", str(file))
    assert (code, len(file.read_text().splitlines())) == (0, 1)
    assert str(file) in out
    assert "none taken: 0 are new" in mlopsfw("checkpoint", str(file), "--every", "2")[1]
    registered(project, 2)
    assert mlopsfw("checkpoint", str(file), "--every", "2")[0] == 0
    assert len(file.read_text().splitlines()) == 2
    code, out, _ = mlopsfw("verify", "--checkpoint", str(file))
    assert code == 0
    assert "0 problems, compared with the checkpoint of 2" in out
    project.storage.delete(entry_key("model/delay", 5))
    code, out, _ = mlopsfw("verify")
    assert code == 0
    assert "0 problems in what is here. A cut tail cannot be excluded without a checkpoint." in out
    code, out, error = mlopsfw("verify", "--checkpoint", str(file))
    assert code == 1
    assert "its tail was cut" in out
    code, _, error = mlopsfw("checkpoint", str(file))  # a shorter ledger does not replace the longer one
    assert code == 1
    assert "tail was cut" in error


def test_a_checkpoint_is_kept_as_a_note_of_the_commit(project):
    registered(project, 1)
    root = project.workspace.root
    with pytest.raises(UsageError, match="git"):
        checkpoints.note(root, taken(project))
    git = ["git", "-C", str(root), "-c", "user.name=ada", "-c", "user.email=ada@example.com"]
    subprocess.run(["git", "-C", str(root), "init", "-q"], check=True)
    for key, value in (("user.name", "ada"), ("user.email", "ada@example.com")):
        subprocess.run(["git", "-C", str(root), "config", key, value], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    kept = taken(project)
    commit = checkpoints.note(root, kept)
    shown = subprocess.run(
        [*git, "notes", "--ref", "refs/notes/mlopsfw", "show", commit], capture_output=True, check=True
    )
    assert checkpoints.decoded(shown.stdout.strip(), "the note") == kept
