"""The locked environment: what is installed, as the cache counts it. Read from the names of the metadata folders alone."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

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
    found = {name: each.version for name, each in distributions(folders).items()}
    return dict(sorted({**found, **interpreter()}.items()))


def interpreter() -> dict[str, str]:
    """Return the version of Python and the platform."""
    return {"python": platform.python_version(), "platform": f"{sys.platform}-{platform.machine()}"}


class Distribution(NamedTuple):
    """An installed distribution: its version, and the folder (or, of an old one, the file) of its metadata."""

    version: str
    metadata: Path


def distributions(folders: Iterable[str] | None = None) -> dict[str, Distribution]:
    """Return normalised name → distribution for what `sys.path` (or `folders`) holds; see `environment`."""
    found: dict[str, Distribution] = {}
    for folder in sys.path if folders is None else folders:
        if SITES.intersection(Path(folder).parts[:-1]):
            continue
        for name, distribution in _installed(folder or "."):
            found.setdefault(name, distribution)
    return found


def normalised(name: str) -> str:
    """Return a distribution's name as all its spellings have it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed(folder: str) -> Iterable[tuple[str, Distribution]]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names are all that is needed, and there are thousands
    except OSError:
        return
    for name in names:
        if name.endswith("-info") and (match := _METADATA.fullmatch(name)):
            yield normalised(match["name"]), Distribution(match["version"], Path(folder, name))


def environment_digest(installed: dict[str, str]) -> str:
    """Return the sha256 (hex) of an environment."""
    return hashlib.sha256(msgspec.json.encode(sorted(installed.items()))).hexdigest()
