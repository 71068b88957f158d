"""The state of the project's code as version control has it: the commit, and a blob with what was not committed.

Files that git does not know yet count too, unless it is told to ignore them: a new module is what is most often forgotten. Code is kept
word for word, what is none by its digest, and what is large by its size: the data that a run read, its inputs tell.
"""

from __future__ import annotations

import os
import shutil
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.kernel.events.record import Blob

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from mlopsfw.kernel.roles.host import Blobs

_DIFF = ("diff", "--binary", "--no-ext-diff", "--no-textconv", "HEAD")
_UNTRACKED = ("ls-files", "--others", "--exclude-standard", "-z")
_CODE = (".py", ".pyi", ".pyx", ".pxd", ".sql", ".toml")  # kept word for word: other files may hold rows, or a secret
_WHOLE = 1 << 20  # bytes that are read of an unknown file; a larger one is hardly code, and there may be many


class CodeRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The code that a run or a model was made with, as an event holds it.

    Args:
        commit: The commit that was checked out; empty outside of a repository.
        diff: What was changed since then; empty for nothing.
    """

    commit: str = ""
    diff: Blob = ""


class CodeState:
    """Asks git in the background while the pipeline is planned; git costs more than planning does.

    Args:
        commit: The commit that is checked out, or nothing.
        root: The project's folder.
        asking: The running `git diff` and `git ls-files`; none where there is no repository.
    """

    def __init__(self, commit: str, root: Path, asking: Sequence[subprocess.Popen[bytes]] = ()) -> None:
        self._commit, self._root, self._asking = commit, root, asking

    @classmethod
    def begin(cls, root: Path) -> CodeState:
        """Start to ask about the repository that holds `root`, if any does."""
        top = repository(root)
        commit = _head(_metadata(top)) if top else ""
        if not commit or shutil.which("git") is None:
            return cls(commit, root)
        import subprocess

        git = ("git", "-c", "core.fsmonitor=false")
        asking = [
            subprocess.Popen((*git, *words), cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            for words in (_DIFF, _UNTRACKED)
        ]
        return cls(commit, root, asking)

    def result(self, blobs: Blobs) -> dict[str, str]:
        """Return `{"commit": …, "diff": blob}`; without a repository nothing, without changes no diff."""
        diff, names = [git.communicate()[0] for git in self._asking] or (b"", b"")
        diff += b"".join(_as_new(self._root, name) for name in sorted(names.split(b"\0")) if name)
        found = {"commit": self._commit, "diff": blobs.put(diff) if diff else ""}
        return {name: value for name, value in found.items() if value}


def repository(root: Path) -> Path | None:
    """Return the top of the work tree that holds `root`, or None."""
    return next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), None)


def _as_new(root: Path, name: bytes) -> bytes:
    """Return what git would show of the untracked file `name`, were it added; nothing where it has gone meanwhile."""
    file = root / os.fsdecode(name)
    try:
        if file.is_symlink() or not file.is_file():
            return b""
        if (size := file.stat().st_size) > _WHOLE:
            return b"untracked: %b, %d bytes\n" % (name, size)
        data = file.read_bytes()
    except OSError:
        return b""
    if file.suffix in _CODE and _is_text(data):
        return _added(name, data)
    return b"untracked: %b, sha256 %b\n" % (name, sha256(data).hexdigest().encode())


def _added(name: bytes, data: bytes) -> bytes:
    head = b"diff --git a/%b b/%b\nnew file mode 100644\n" % (name, name)
    lines = BytesIO(data).readlines()  # split at line feeds alone, as git does
    if not lines:
        return head
    end = b"" if data.endswith(b"\n") else b"\n\\ No newline at end of file\n"
    hunk = b"--- /dev/null\n+++ b/%b\n@@ -0,0 +1,%d @@\n" % (name, len(lines))
    return head + hunk + b"".join(b"+" + line for line in lines) + end


def _is_text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False


def _metadata(top: Path) -> Path:
    """Return the folder that HEAD lies in: of a linked work tree or a submodule, the one that the file `.git` names."""
    git = top / ".git"
    if git.is_dir():
        return git
    try:
        return top / git.read_text(encoding="utf-8").removeprefix("gitdir: ").strip()
    except (OSError, UnicodeDecodeError):
        return git


def _head(git: Path) -> str:
    """Return the commit that HEAD stands for, read from the files; nothing where there is none yet."""
    try:
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head
        name, common = head.removeprefix("ref: "), git / "commondir"
        shared = git / common.read_text(encoding="utf-8").strip() if common.is_file() else git
        if (shared / name).is_file():
            return (shared / name).read_text(encoding="utf-8").strip()
        for line in (shared / "packed-refs").read_text(encoding="utf-8").splitlines():
            if line.endswith(f" {name}"):
                return line.partition(" ")[0]
    except OSError:
        pass
    return ""
