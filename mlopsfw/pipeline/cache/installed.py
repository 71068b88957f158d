"""Installed packages in the cache key: those of plugins, and those whose functions are steps (`python = "acme.features:build"`).

A version does not identify code while you develop it: an editable installation and a rebuilt wheel keep theirs.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.lineage.environment import distributions, normalised
from mlopsfw.pipeline.cache.codebase import Codebase

if TYPE_CHECKING:
    from collections.abc import Collection

_WRITTEN_BY_PYTHON = (".pyc", ".pyo")


def content_digest(reached: str, package: str, installed: Iterable[str]) -> str:
    """Return the digest of a package.

    Args:
        reached: The digest of the code that is used; where it is empty, every module of the package counts.
        package: Its top-level name. Its other files count too.
        installed: The distributions that it comes from. What an installer recorded of their files counts.
    """
    digest = hashlib.sha256(reached.encode())
    for name, file in _files(package):
        if not (reached and file.suffix == ".py"):
            digest.update(f"{name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    for distribution in installed:
        for line in _recorded(distribution):
            digest.update(f"{line}\n".encode())
    return digest.hexdigest()[:16]


def package_codebase(target: str, project: Codebase, installed: Collection[str]) -> Codebase:
    """Return the modules of the installed package that `module:function` is in. Raise `UsageError` if none is installed.

    Args:
        target: The function.
        project: The project's code, which has no such module.
        installed: The distributions that the package comes from: all their packages belong to it.
    """
    module = target.partition(":")[0]
    top = module.partition(".")[0]
    if not _places(top):
        where = ", ".join(map(str, project.roots))
        raise UsageError(
            f"there is no module {module!r} for {target!r} in {where}, and no installed package {top!r}",
            hint=f"Install the package that provides {top!r} (`pip install {top}`, if it is called so), set [project] "
            "code, or correct the name.",
        )
    tops = {top, *(name for each in installed for name in _packages(each))}
    found = project.of_packages({name: _places(name) for name in sorted(tops)})
    if found.module(module) is None:
        known = [name for name in found.every_name() if name.startswith(f"{top}.")]
        versions = ", ".join(f"{name} {each.version}" for name in installed if (each := distributions().get(name)))
        raise UsageError(
            f"the installed package {top!r} ({versions or 'of no distribution'}) has no module {module!r}",
            hint=f"{nearest(module, known)} Or install a version that has it.".strip(),
        )
    return found


def _places(top: str) -> tuple[Path, ...]:
    """Return the folders that hold a top-level package or module; none where it is not installed, or has no files.

    The current folder holds nothing installed, although Python may import from it.
    """
    try:
        spec = importlib.util.find_spec(top) if top.isidentifier() else None
    except (ImportError, ValueError):
        return ()
    if spec is None:
        return ()
    folders = spec.submodule_search_locations or ([spec.origin] if spec.origin and spec.has_location else [])
    return tuple(place for place in (Path(folder).parent for folder in folders) if place != Path.cwd())


def _packages(distribution: str) -> list[str]:
    """Return the top-level packages that a distribution says it has."""
    found = distributions().get(distribution)
    file = None if found is None else found.metadata / "top_level.txt"
    return file.read_text(encoding="utf-8").split() if file is not None and file.is_file() else []


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
    """Return the lines of its RECORD, path with digest, without entries that differ between installations: metadata, scripts, caches."""
    found = distributions().get(normalised(distribution))
    record = None if found is None else found.metadata / "RECORD"
    if record is None or not record.is_file():
        return []
    lines = record.read_text(encoding="utf-8", errors="replace").splitlines()
    return sorted(line for line in lines if not _DIFFERS.search(line))


_DIFFERS = re.compile(r"^\.\./|^/|\.(dist|egg)-info/|\.py[co],|^__editable__|\.pth,")
