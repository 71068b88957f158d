"""`Workspace`: the project's folder on this machine, and the private folder for state below it."""

from __future__ import annotations

from pathlib import Path

STATE = ".mlopsfw"


class Workspace:
    """Where a project lies on this machine.

    Args:
        root: The folder of `mlopsfw.toml`; relative paths of the configuration are relative to it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / STATE

    def private_folder(self, *parts: str) -> Path:
        """Return a folder under the project's state that only this user can enter (mode 0700), made if need be."""
        folder = self.state
        for part in ("", *parts):
            folder = folder / part
            if not folder.is_dir():
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                folder.chmod(0o700)
        return folder
