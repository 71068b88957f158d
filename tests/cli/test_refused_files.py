"""What the operating system refuses is an error of the machine, with the file and a way out: never an internal one."""

from __future__ import annotations

import errno

import pytest

from mlopsfw.cli import run
from mlopsfw.cli.failure import report


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.EIO])  # fmt: skip
def test_a_refused_file_is_named_with_the_reason_and_what_to_do(number, capsys):
    code = report(OSError(number, "refused", "/mnt/rom/.mlopsfw/index"), with_traceback=False)
    err = capsys.readouterr().err
    assert code == 1
    assert "error: /mnt/rom/.mlopsfw/index: refused" in err
    assert len(err.splitlines()) == 2
    assert "traceback" not in err


def test_another_error_of_the_system_stays_an_internal_one_and_says_where_the_option_stands(capsys):
    assert report(OSError(errno.ESPIPE, "no seek", "x"), with_traceback=False) == 70
    assert "mlopsfw --traceback VERB" in capsys.readouterr().err


@pytest.mark.parametrize("verb", [("data", "add", "h", "h.csv"), ("index", "rebuild")])
def test_a_verb_that_writes_in_a_project_where_nothing_can_be_written_ends_with_1(project, monkeypatch, capsys, verb):
    monkeypatch.chdir(project.root)
    (project.root / "h.csv").write_text("a\n1\n")
    assert run(["status"]) in (0, 1, 2)
    import tempfile
    from pathlib import Path

    def refuse(*_args, **_options):
        raise OSError(errno.EROFS, "Read-only file system", str(project.root / ".mlopsfw"))

    for owner, name in ((tempfile, "mkstemp"), (tempfile, "mkdtemp"), (Path, "mkdir"), (Path, "unlink")):
        monkeypatch.setattr(owner, name, refuse)
    capsys.readouterr()
    assert run(list(verb)) == 1
    assert "Read-only file system" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--traceback", "--project"])
def test_a_global_option_after_the_verb_is_told_where_it_stands(capsys, option):
    assert run(["gc", option]) == 2
    assert f"{option} stands before the verb: mlopsfw {option}" in capsys.readouterr().err
    assert run(["gc", "--nothing"]) == 2
    assert "stands before" not in capsys.readouterr().err
