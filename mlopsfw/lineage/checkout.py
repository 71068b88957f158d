"""The code of a run in a folder of its own: the recorded commit, and what was not committed. `codestate` records both.

The folder is a clone that borrows the objects of the repository, so that nothing is written to the repository or its work tree.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from hashlib import file_digest
from pathlib import Path

from mlopsfw.kernel.base.errors import DataError
from mlopsfw.lineage.codestate import CodeRecord, repository

_SUBMODULE = b"160000 "
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_SECTION = re.compile(rb"^(?=diff --git |untracked: )", re.MULTILINE)  # the lines of a hunk begin with other characters
_NEW_FILE = re.compile(rb"diff --git [^\n]*\nnew file mode [0-7]+\n(?!index )")
_UNTRACKED = re.compile(rb"untracked: (.*), sha256 ([0-9a-f]{64})\n", re.DOTALL)
_LOCAL = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX")


def check_out(root: Path, code: CodeRecord, changes: bytes, folder: Path) -> Path:
    """Lay the recorded code out in `folder`; return the project's folder in it.

    Args:
        root: The project's folder. The repository that holds it is read, and never written to.
        code: What was recorded.
        changes: What was not committed, as `CodeState` keeps it.
        folder: New or empty.

    Raises:
        DataError: There is no repository or no git, the repository lacks the commit, or the changes do not fit it.
    """
    top = _repository(root, code)
    _git("clone", "--quiet", "--shared", "--no-checkout", "--template=", "--", str(top), str(folder))
    lacking = f"the repository {top} lacks the commit {code.commit[:12]}"
    _git("checkout", "--quiet", "--detach", code.commit, cwd=folder, problem=lacking)
    _lay_out_submodules(top, folder)
    below = root.resolve().relative_to(top.resolve())
    tracked, new = _parts(changes)
    unfit = f"the changes after the commit {code.commit[:12]} do not fit it"
    if tracked:
        _git("apply", "--whitespace=nowarn", "-", cwd=folder, given=tracked, problem=unfit)
    if new:  # their names are relative to the project
        directory = [] if below == Path() else [f"--directory={below.as_posix()}"]
        _git("apply", "--whitespace=nowarn", *directory, "-", cwd=folder, given=new, problem=unfit)
    return folder / below


def _lay_out_submodules(source: Path, folder: Path) -> None:
    """Lay out the submodules that the work tree `source` has, at the commits that the one in `folder` names."""
    for entry in _git("ls-files", "--stage", "-z", cwd=folder).split(b"\0"):
        facts, _, name = entry.partition(b"\t")
        path = Path(os.fsdecode(name))
        if facts.startswith(_SUBMODULE) and (source / path / ".git").exists():
            commit = facts.split()[1].decode()
            _git(
                "clone",
                "--quiet",
                "--shared",
                "--no-checkout",
                "--template=",
                "--",
                str(source / path),
                str(folder / path),
            )
            lacking = f"the submodule {path} lacks the commit {commit[:12]}"
            _git("checkout", "--quiet", "--detach", commit, cwd=folder / path, problem=lacking)
            _lay_out_submodules(source / path, folder / path)


def _repository(root: Path, code: CodeRecord) -> Path:
    """Return the top of the work tree that may have the commit. Raise `DataError`."""
    top = repository(root)
    if not _COMMIT.fullmatch(code.commit):
        raise DataError("the run recorded no commit of its code")
    if top is None or shutil.which("git") is None:
        missing = "git is not installed" if top else "the project is in no git repository"
        raise DataError(f"the commit {code.commit[:12]} cannot be restored: {missing}")
    return top


def untracked(changes: bytes) -> dict[str, str]:
    """Return the files beside the code that git did not track, as recorded: name, relative to the project, → sha256 in hex."""
    names = (_UNTRACKED.fullmatch(section) for section in _SECTION.split(changes))
    return {os.fsdecode(match[1]): match[2].decode() for match in names if match}


def carry_over(source: Path, target: Path, files: Mapping[str, str]) -> list[str]:
    """Copy the files that `target` lacks from `source`, where they still have the recorded sha256; return the others' names."""
    return [name for name, digest in files.items() if not _carried(source / name, target, name, digest)]


def _carried(file: Path, target: Path, name: str, digest: str) -> bool:
    place = target / name
    if place.exists() or not Path(os.path.realpath(place)).is_relative_to(os.path.realpath(target)):
        return place.exists()
    if not file.is_file() or _sha256(file) != digest:
        return False
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, place)
    return True


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def _parts(changes: bytes) -> tuple[bytes, bytes]:
    """Return what git wrote about files that it tracks, and the code that it did not know yet."""
    sections = [section for section in _SECTION.split(changes) if section.startswith(b"diff --git ")]
    new = [section for section in sections if _NEW_FILE.match(section)]
    return b"".join(section for section in sections if not _NEW_FILE.match(section)), b"".join(new)


def _git(*words: str, cwd: Path | None = None, given: bytes = b"", problem: str = "") -> bytes:
    """Run git, and return what it prints. Raise `DataError` where it fails."""
    environment = {name: value for name, value in os.environ.items() if name not in _LOCAL}
    quiet = ("-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false", "-c", "advice.detachedHead=false")
    done = subprocess.run(
        ["git", *quiet, *words], cwd=cwd, input=given, env=environment, capture_output=True, check=False
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise DataError(
            f"{problem or 'the repository cannot be cloned'}: {said[-1] if said else f'git ended with {done.returncode}'}",
            hint="Fetch the commit into this repository, or run the command in the clone that the run was made in.",
        )
    return done.stdout
