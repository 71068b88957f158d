"""Where the capture logs of a project lie on this machine: `.mlopsfw/captures/<endpoint>`, private to this user."""

from __future__ import annotations

from pathlib import Path

from mlopsfw.kernel.base.ids import check_name
from mlopsfw.kernel.workspace import Workspace

_FOLDER = "captures"


def log_folder(root: Path, endpoint: str) -> Path:
    """Return the folder of an endpoint's capture log, made if need be.

    Args:
        root: The project's folder, such as `host.root`.
        endpoint: The endpoint's name.

    Raises:
        UsageError: It is no name of an endpoint.
    """
    return Workspace(root).private_folder(_FOLDER, check_name(endpoint, "endpoint"))


def logged_endpoints(root: Path) -> list[str]:
    """Return the endpoints that have a capture log on this machine."""
    return sorted(folder.name for folder in Workspace(root).private_folder(_FOLDER).iterdir() if folder.is_dir())
