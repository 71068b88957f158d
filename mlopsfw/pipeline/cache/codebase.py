"""The project's Python modules: their files and facts, read once and cached by the digest of the source.

A module outside the project's code folders does not belong to the project: the locked environment covers it, unless a step is a function of
its package (`installed`).

"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import msgspec

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.lineage.environment import SITES
from mlopsfw.pipeline.cache.source import FORMAT, ModuleFacts, read_module

_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "venv", "build", "dist"})
_OURS = Path(__file__).resolve().parents[3]
_COMPILED = (".so", ".pyd")


class Module(msgspec.Struct, frozen=True):
    """One module of the project.

    Args:
        name: Dotted.
        file: Its source, or its compiled file; None for a folder that is a package without `__init__.py`.
        facts: The facts about it; None for a compiled module.
        digest: sha256 of the file.
        folders: Where its submodules lie.
    """

    name: str
    file: Path | None
    facts: ModuleFacts
    digest: str
    folders: tuple[Path, ...] = ()


_NO_FACTS = ModuleFacts((), {}, (), ())


class Codebase:
    """The modules under some folders, as they were at the first access.

    Args:
        roots: Folders in the order of `sys.path`.
        store: Keeps the facts between processes, or None.
    """

    def __init__(self, roots: Iterable[Path], store: Path | None = None) -> None:
        self.roots = tuple(dict.fromkeys(root.resolve() for root in roots))
        self._places: Mapping[str, tuple[Path, ...]] | None = None
        self._modules: dict[str, Module | None] = {}
        self._stamps: dict[Path, tuple[tuple[int, ...], str]] = {}
        self._store = FactStore(store)

    def of_packages(self, places: Mapping[str, tuple[Path, ...]]) -> Codebase:
        """Return the modules of some packages, by the folders in which each lies. `changed` and `save` here count them too."""
        packages = Codebase(folder for folders in places.values() for folder in folders)
        packages._places, packages._store, packages._stamps = places, self._store, self._stamps
        return packages

    def module(self, name: str) -> Module | None:
        """Return the project's module `name`, or None if the project has none."""
        if name not in self._modules:
            self._modules[name] = self._find(name)
        return self._modules[name]

    def _find(self, name: str) -> Module | None:
        above, _, last = name.rpartition(".")
        if not last.isidentifier() or name.partition(".")[0] in ("mlopsfw", "mlopsfw_core"):
            return None
        parent = self.module(above) if above else None
        if above and parent is None:
            return None
        folders = parent.folders if parent else self._folders(name)
        for folder in folders:
            for file, is_package in ((folder / last / "__init__.py", True), (folder / f"{last}.py", False)):
                if file.is_file():
                    return self._read(name, file, (file.parent,) if is_package else ())
            if compiled := next((f for end in _COMPILED for f in sorted(folder.glob(f"{last}.*{end}"))), None):
                return self._read(name, compiled, ())
        spread = tuple(folder / last for folder in folders if (folder / last).is_dir())
        return Module(name, None, _NO_FACTS, "", spread) if spread else None

    def _folders(self, top: str) -> tuple[Path, ...]:
        return self.roots if self._places is None else self._places.get(top, ())

    def _read(self, name: str, file: Path, folders: tuple[Path, ...]) -> Module:
        stamp = _stamp(file)
        content = file.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        self._stamps[file] = stamp, digest
        if file.suffix != ".py":
            return Module(name, file, _NO_FACTS, digest, folders)
        try:
            facts = self._store.facts(digest, content, name, is_package=bool(folders))
        except SyntaxError as error:
            raise UsageError(
                f"{file}:{error.lineno}: {error.msg}", hint="Nothing was run. Correct the syntax."
            ) from None
        return Module(name, file, facts, digest, folders)

    def every_module(self) -> Iterator[Module]:
        """Yield all modules under the roots, sorted by name: for code that cannot be followed."""
        for name in self.every_name():
            if module := self.module(name):
                yield module

    def every_name(self) -> list[str]:
        """Return the sorted names of all modules under the roots. No file is read."""
        return sorted({name for root in self.roots for name in _names(root, self._places)})

    def changed(self) -> list[Path]:
        """Return the files that have changed since they were read."""
        return [f for f, (stamp, digest) in self._stamps.items() if _stamp(f) != stamp and _digest(f) != digest]

    def save(self) -> None:
        """Store the facts for the next process."""
        self._store.save()


def project_codebase(root: Path, code: Sequence[str], store: Path | None) -> Codebase:
    """Return the code of the project at `root`: its own folders, then those folders of `sys.path` that hold no installed packages.

    The latter are PYTHONPATH and packages installed in editable mode by a path: edits there change no version.
    """
    ours = (_OURS, _OURS / "plugins")  # a checkout of mlopsfw itself: its steps and plugins carry versions
    here = {"", str(Path.cwd())} - set(os.environ.get("PYTHONPATH", "").split(os.pathsep))
    extra = [Path(folder) for folder in sys.path if folder not in here]
    folders = [folder.resolve() for folder in extra if folder.is_dir()]
    outside = [folder for folder in folders if folder not in ours and not _is_installation(folder)]
    return Codebase([*(root / folder for folder in code), *outside], store)


def check_bound(codebase: Codebase, module_name: str, name: str) -> None:
    """Raise `UsageError` if a module surely binds no such name at its top level; one that is compiled or passes on all of another may."""
    module = codebase.module(module_name)
    if module is None:
        where = ", ".join(map(str, codebase.roots))
        raise UsageError(f"there is no module {module_name!r} in {where}", hint="Correct the name.")
    if module.file is None or module.file.suffix != ".py" or module.facts.stars:
        return
    known = {*module.facts.imports, *(each for unit in module.facts.units for each in unit.names)}
    if not known & {name, "__getattr__"} and codebase.module(f"{module_name}.{name}") is None:
        public = [each for each in known if not each.startswith("_")]
        raise UsageError(f"{module_name} has no {name!r}", hint=nearest(name, public))


def _is_installation(folder: Path) -> bool:
    """Say whether an installer put packages there, whose versions stand for them: here, for the user, or for another environment."""
    under = any(folder.is_relative_to(Path(prefix).resolve()) for prefix in (sys.prefix, sys.base_prefix))
    return under or folder.name in SITES or any(folder.glob("*.dist-info"))


def _stamp(file: Path) -> tuple[int, ...]:
    try:
        stat = file.stat()
    except OSError:
        return ()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""


def _names(root: Path, tops: Collection[str] | None) -> Iterator[str]:
    for folder, inner, files in os.walk(root):
        if tops is not None and Path(folder) == root:  # other packages lie there too
            inner[:] = [name for name in inner if name in tops]
            files[:] = [file for file in files if file.removesuffix(".py") in tops]
        inner[:] = sorted(d for d in inner if d not in _SKIPPED and not d.startswith(".") and d.isidentifier())
        package = ".".join(Path(folder).relative_to(root).parts)
        for file in files:
            stem = file.removesuffix(".py")
            if file.endswith(".py") and stem.isidentifier():
                name = package if stem == "__init__" else f"{package}.{stem}".strip(".")
                if name:
                    yield name


class FactStore:
    """A cache of facts by source digest, in one file that anyone may delete at any time.

    Args:
        file: The file, or None to keep nothing.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._used: dict[str, ModuleFacts] = {}

    @cached_property
    def _kept(self) -> dict[str, ModuleFacts]:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=dict[str, ModuleFacts]) if self._file else {}
        except (OSError, msgspec.MsgspecError):
            return {}

    def facts(self, digest: str, content: bytes, name: str, *, is_package: bool) -> ModuleFacts:
        """Return the cached facts of a source, or read them. Raise `SyntaxError`."""
        key = f"{FORMAT} {sys.version_info[0]}.{sys.version_info[1]} {name} {int(is_package)} {digest}"
        facts = self._kept.get(key) or read_module(content, name, is_package=is_package)
        self._used[key] = facts
        return facts

    def save(self) -> None:
        """Write the new facts atomically."""
        if self._file is None or self._used.keys() <= self._kept.keys():
            return
        fresh = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        fresh.write_bytes(msgspec.json.encode({**self._kept, **self._used} if len(self._kept) < 2000 else self._used))  # noqa: PLR2004
        fresh.replace(self._file)
