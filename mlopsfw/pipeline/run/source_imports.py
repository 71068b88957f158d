"""Imports of code that people edit between runs: from its source, whatever bytecode lies beside it.

Python trusts a `.pyc` if its source has the second and the size from which it was compiled. An edit within that second that
keeps the size would run the old code, and the old result would be kept under the new key. Libraries keep their bytecode: they
are large, and nobody edits them. Of installed packages whose code is part of a key, bytecode is read unless it was written
in the second of its source: later edits have another second.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import cache_from_source
from pathlib import Path
from sys import stdlib_module_names
from types import CodeType, ModuleType

from mlopsfw.lineage.environment import SITES


class SourceImports:
    """A finder of `sys.meta_path`: what the finders after it find of the edited code is compiled anew.

    Args:
        code: The folders of the project's own modules.
    """

    def __init__(self, code: Sequence[str]) -> None:
        self.code = tuple(os.path.realpath(folder) + os.sep for folder in code)
        """The folders, each as it lies on the disk and with a separator at its end."""
        self.packages: list[str] = []
        """Packages of steps' functions. Those of an editable installation are edited too."""
        self.plugins: set[str] = set()
        """The packages of installed plugins of third parties."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SourceImports) and (self.code, self.packages) == (other.code, other.packages)

    __hash__ = None  # type: ignore[assignment] # packages are added

    def covers(self, name: str, file: str) -> bool:
        """Return whether a module may be edited before the next step."""
        if not file:  # built in, or a namespace: no folder tells whose it is
            return name.partition(".")[0] in self.packages
        if SITES.intersection(Path(file).parts):
            return False
        return os.path.realpath(file).startswith(self.code) or name.partition(".")[0] in self.packages

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return what the finders after it find; source is compiled anew where it may be edited.

        Of several such finders, as of projects opened in one process, the first one asks for all: if each asked the next, the
        finders behind them would be asked twice as often with every further project.
        """
        here = next(at for at, finder in enumerate(sys.meta_path) if finder is self)
        after = sys.meta_path[here + 1 :]
        found = (each.find_spec(name, path, target) for each in after if not isinstance(each, SourceImports))
        spec = next((spec for spec in found if spec is not None), None)
        loader = spec and spec.loader
        if spec is None or type(loader) is not SourceFileLoader:
            return spec
        ours = [each for each in (self, *after) if isinstance(each, SourceImports)]
        edited = any(each.covers(name, loader.path) for each in ours)
        if edited or (any(each.is_in_keys(name) for each in ours) and _is_in_doubt(Path(loader.path))):
            spec.loader, spec.cached = _FromSource(name, loader.path), None
        return spec

    def outdated(self) -> dict[str, ModuleType]:
        """Return the modules of this process whose names are of the edited code, and that another file or an earlier text made.

        Libraries are not among them, even where a module of the project has the name of one.
        """
        paths = (path for folder in self.code for path in Path(folder).glob("*") if path.suffix in ("", ".py"))
        names = {path.stem for path in paths if not path.stem.startswith(("__main__", "mlopsfw"))}
        ours = {name: module for name, module in list(sys.modules.items()) if name.partition(".")[0] in names}
        tops = {name.partition(".")[0] for name, module in ours.items() if self._is_outdated(module)}
        return {name: module for name, module in ours.items() if name.partition(".")[0] in tops}

    def _is_outdated(self, module: ModuleType) -> bool:
        file, loader = getattr(module, "__file__", None), getattr(module, "__loader__", None)
        if not file or SITES.intersection(Path(file).parts) or module.__name__.partition(".")[0] in stdlib_module_names:
            return False
        if not os.path.realpath(file).startswith(self.code):
            return True
        return not isinstance(loader, _FromSource) or loader.is_edited()

    def is_in_keys(self, name: str) -> bool:
        """Return whether a module is of a package whose code is part of cache keys."""
        top = name.partition(".")[0]
        return top in self.packages or top in self.plugins


def _is_in_doubt(file: Path) -> bool:
    """Return whether a module may have been edited after it was compiled, and in the same second."""
    try:
        return int(Path(cache_from_source(file)).stat().st_mtime) <= int(file.stat().st_mtime)
    except (OSError, NotImplementedError):  # no bytecode, or none is ever used
        return False


class _FromSource(SourceFileLoader):
    """Reads and writes no bytecode."""

    _compiled: bytes | None = None

    def get_code(self, fullname: str) -> CodeType:
        """Return the source, compiled."""
        path = self.get_filename(fullname)
        self._compiled = self.get_data(path)
        return self.source_to_code(self._compiled, path)

    def is_edited(self) -> bool:
        """Return whether the source is no longer what was compiled."""
        try:
            return Path(self.path).read_bytes() != self._compiled
        except OSError:
            return True
