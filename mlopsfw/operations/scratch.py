"""Scratch folders on this machine. The process that uses one holds a lock on it, which ends with the process.

So a folder without a lock has lost its process, by `kill -9` or a power cut, and the next use of scratch, or `gc`, removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mlopsfw.kernel.component import Held

if TYPE_CHECKING:
    from mlopsfw.kernel.component import ErasureScope
    from mlopsfw.kernel.workspace import Workspace

_FOLDER = "scratch"


@contextlib.contextmanager
def scratch_folder(workspace: Workspace, prefix: str = "") -> Iterator[Path]:
    """Yield an empty private folder, and remove it in the end. First remove those of processes that were killed.

    Args:
        workspace: Of the project.
        prefix: The beginning of the folder's name.
    """
    remove_abandoned(workspace)
    folder, lock = _locked_folder(workspace.private_folder(_FOLDER), prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_abandoned(workspace: Workspace, *, dry_run: bool = False) -> list[str]:
    """Remove the scratch folders whose process has ended, and return their names.

    Args:
        workspace: Of the project.
        dry_run: Only return the names.
    """
    names = []
    for path in sorted((workspace.state / _FOLDER).glob("*")):
        with contextlib.suppress(OSError), _lock(path) as is_free:  # OSError: it went meanwhile, or is another user's
            if is_free:
                names.append(path.name)
                if not dry_run:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return names


class ScratchHolding:
    """The scratch folders of killed processes, which may hold rows of any subject: an erasure removes all of them.

    Args:
        workspace: Of the project.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def find(self, scope: ErasureScope) -> Held:
        """Count them."""
        del scope
        return _held(remove_abandoned(self._workspace, dry_run=True))

    def erase(self, scope: ErasureScope) -> Held:
        """Remove them."""
        del scope
        return _held(remove_abandoned(self._workspace))


def _held(names: list[str]) -> Held:
    return Held(shown={"scratch": {"folders of killed processes": len(names)}} if names else {})


def _locked_folder(above: Path, prefix: str) -> tuple[Path, int]:
    """Return a new folder and the descriptor of its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=above))
        with contextlib.suppress(FileNotFoundError):  # another process removed it before it was locked
            descriptor = os.open(folder, os.O_RDONLY)
            with contextlib.suppress(OSError):  # a file system without locks: nobody can tell that it is abandoned
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.is_dir():
                return folder, descriptor
            os.close(descriptor)


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[bool]:
    """Lock a folder or a file, and yield whether no other process holds it. Raise `OSError` where locks are not possible."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
