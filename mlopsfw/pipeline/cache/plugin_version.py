"""The part of a plugin that the cache key contains: distribution, version and code.

While you develop a plugin, its version does not identify the code: an editable install, a folder on PYTHONPATH and a rebuilt wheel keep
the version. For mlopsfw's own plugins the version and `Step.version` are enough.

"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.lineage.environment import distributions, normalised
from mlopsfw.pipeline.cache.closure import code_of

if TYPE_CHECKING:
    from mlopsfw.kernel.plugins.catalog import Claim
    from mlopsfw.pipeline.cache.codebase import Codebase

_OURS = "mlopsfw"
_WRITTEN_BY_PYTHON = (".pyc", ".pyo")


def plugin_version(claim: Claim, codebase: Codebase) -> str:
    """Return a plugin's distribution and version, and for third parties the digest of what its distribution holds.

    That is the code that its hook reaches where it can be followed, else every module of its package; every other file of the
    package; and what an installer recorded of the distribution's other files.
    """
    version = f"{claim.distribution} {claim.version}"
    if claim.distribution == _OURS:
        return version
    reached = _reached(claim, codebase)
    package = claim.module.partition(":")[0].partition(".")[0]
    digest = hashlib.sha256(reached.encode())
    for name, file in _files(package):
        if not (reached and file.suffix == ".py"):
            digest.update(f"{name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    for line in _recorded(claim.distribution):
        digest.update(f"{line}\n".encode())
    return f"{version}, code {digest.hexdigest()[:16]}"


def _reached(claim: Claim, codebase: Codebase) -> str:
    """Return the digest of the code that its hook reaches, or nothing if that is installed or cannot be followed."""
    module, _, holder = claim.module.partition(":")
    if codebase.module(module) is None:
        return ""
    try:
        return code_of(codebase, f"{module}:{holder or f'mlopsfw_{claim.kind}s'}").digest
    except UsageError:
        return ""


def _files(package: str) -> Iterator[tuple[str, Path]]:
    spec = importlib.util.find_spec(package)
    if spec is None:
        return
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    if not folders and spec.origin:
        yield package, Path(spec.origin)
    for folder in folders:
        for file in sorted(folder.rglob("*")):
            if file.suffix not in _WRITTEN_BY_PYTHON and file.is_file():
                yield file.relative_to(folder).as_posix(), file


def _recorded(distribution: str) -> list[str]:
    """Return the lines of its RECORD, path with digest, but for what differs from one installation to the next: metadata, scripts, caches."""
    found = distributions().get(normalised(distribution))
    record = None if found is None else found.metadata / "RECORD"
    if record is None or not record.is_file():
        return []
    lines = record.read_text(encoding="utf-8", errors="replace").splitlines()
    return sorted(line for line in lines if not _DIFFERS.search(line))


_DIFFERS = re.compile(r"^\.\./|^/|\.(dist|egg)-info/|\.py[co],|^__editable__|\.pth,")
