"""The locked environment: what is installed, as the cache counts it. Read from the names of the metadata folders alone."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

SITES = {"site-packages", "dist-packages"}
"""What the folders are called into which installers put packages."""
_METADATA = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)(?:-.*)?\.(?:dist|egg)-info")


def environment(folders: Iterable[str] | None = None) -> dict[str, str]:
    """Return distribution → version for what `sys.path` (or `folders`) holds, and Python itself, sorted.

    An earlier folder hides a later one, as for imports. No metadata is opened: pip, uv and conda name the folder
    `name-version.dist-info`. What a package brings along in a folder of its own, such as Ray's `thirdparty_files`,
    comes with that package's version: it counts no more once the package was imported than before.
    """
    found: dict[str, str] = {}
    for folder in sys.path if folders is None else folders:
        if SITES.intersection(Path(folder).parts[:-1]):
            continue
        for name, version in _installed(folder or "."):
            found.setdefault(name, version)
    found["python"] = platform.python_version()
    found["platform"] = f"{sys.platform}-{platform.machine()}"
    return dict(sorted(found.items()))


def _installed(folder: str) -> Iterable[tuple[str, str]]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names are all that is needed, and there are thousands
    except OSError:
        return
    for name in names:
        if name.endswith("-info") and (match := _METADATA.fullmatch(name)):
            yield re.sub(r"[-_.]+", "-", match["name"]).lower(), match["version"]


def environment_digest(installed: dict[str, str]) -> str:
    """Return the sha256 (hex) of an environment."""
    return hashlib.sha256(msgspec.json.encode(sorted(installed.items()))).hexdigest()
