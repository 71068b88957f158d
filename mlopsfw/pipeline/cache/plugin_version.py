"""The part of a plugin that the cache key contains: distribution, version and code.

While you develop a plugin, its version does not identify the code: an editable install, a folder on PYTHONPATH and a rebuilt wheel keep
the version. For mlopsfw's own plugins the version and `Step.version` are enough.

"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.pipeline.cache.closure import code_of

if TYPE_CHECKING:
    from mlopsfw.kernel.plugins.catalog import Claim
    from mlopsfw.pipeline.cache.codebase import Codebase

_OURS = "mlopsfw"
_CODE = (".py", ".so", ".pyd")


def plugin_version(claim: Claim, codebase: Codebase) -> str:
    """Return a plugin's distribution and version, and for third parties the digest of the code."""
    version = f"{claim.distribution} {claim.version}"
    if claim.distribution == _OURS:
        return version
    return f"{version}, code {_reached(claim, codebase) or _installed(claim)}"


def _reached(claim: Claim, codebase: Codebase) -> str:
    """Return the digest of the code that its hook reaches, or nothing if that is installed or cannot be followed."""
    module, _, holder = claim.module.partition(":")
    if codebase.module(module) is None:
        return ""
    try:
        return code_of(codebase, f"{module}:{holder or f'mlopsfw_{claim.kind}s'}").digest[:16]
    except UsageError:
        return ""


def _installed(claim: Claim) -> str:
    """Return the digest of all code in its package."""
    package = claim.module.partition(":")[0].partition(".")[0]
    digest = hashlib.sha256()
    for name, file in _files(package):
        digest.update(f"{name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()[:16]


def _files(package: str) -> Iterator[tuple[str, Path]]:
    spec = importlib.util.find_spec(package)
    if spec is None:
        return
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    if not folders and spec.origin:
        yield package, Path(spec.origin)
    for folder in folders:
        for file in sorted(folder.rglob("*")):
            if file.suffix in _CODE and file.is_file():
                yield file.relative_to(folder).as_posix(), file
