"""The state of the project's code as version control has it: the commit, and a blob with what was not committed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

    from mlopsfw.project import Project


class CodeState:
    """Asks git in the background while the pipeline is planned; git costs more than planning does.

    Args:
        commit: The commit that is checked out, or nothing.
        asking: The running `git diff`, or None where there is no repository.
    """

    def __init__(self, commit: str, asking: subprocess.Popen[bytes] | None) -> None:
        self._commit, self._asking = commit, asking

    @classmethod
    def begin(cls, root: Path) -> CodeState:
        """Start to ask about the repository that holds `root`, if any does."""
        top = next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), None)
        commit = _head(top / ".git") if top else ""
        if not commit or shutil.which("git") is None:
            return cls(commit, None)
        import subprocess

        command = ["git", "-c", "core.fsmonitor=false", "diff", "--binary", "--no-ext-diff", "--no-textconv", "HEAD"]
        asking = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return cls(commit, asking)

    def result(self, project: Project) -> dict[str, str]:
        """Return `{"commit": …, "diff": blob}`; without a repository nothing, without changes no diff."""
        diff = self._asking.communicate()[0] if self._asking else b""
        found = {"commit": self._commit, "diff": project.blobs.put(diff) if diff else ""}
        return {name: value for name, value in found.items() if value}


def _head(git: Path) -> str:
    """Return the commit that HEAD stands for, read from the files; nothing for a work tree kept elsewhere or no commit."""
    try:
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        if (git / name).is_file():
            return (git / name).read_text(encoding="utf-8").strip()
        for line in (git / "packed-refs").read_text(encoding="utf-8").splitlines():
            if line.endswith(f" {name}"):
                return line.partition(" ")[0]
    except OSError:
        pass
    return ""
