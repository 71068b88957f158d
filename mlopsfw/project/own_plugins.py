"""Plugins in the project's own code: `[plugins] modules = ["my_plugins"]`. What they offer is read, not imported.

As with installed plugins, a module is imported when one of its names is selected, and one that fails is blamed by name.
Several projects of one process may each have a module of the same name, since people copy such files: each gets its own.
"""

from __future__ import annotations

import ast
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.base.errors import PluginBroken
from mlopsfw.kernel.plugins.catalog import Catalog, Claim, installed
from mlopsfw.kernel.plugins.manager import PluginManager
from mlopsfw.kernel.roles.names import API_VERSION, KINDS
from mlopsfw.pipeline.run.source_imports import SourceImports

if TYPE_CHECKING:
    from mlopsfw.kernel.config import ProjectConfig

_VERSION = "of this project"
_IMPORTING = threading.RLock()  # one project at a time: names of modules belong to the process


class ProjectPlugins(PluginManager):
    """What is installed, and the modules of one project.

    Args:
        root: The project's folder.
        config: Names the modules, the folders of the project's code, and what is disabled.

    Raises:
        ConfigError: As `own_claims`.
    """

    def __init__(self, root: Path, config: ProjectConfig) -> None:
        super().__init__(Catalog([*installed(), *own_claims(root, config)], disabled=config.disabled))
        check_bytecode(claim for claim in self.catalog.claims if claim.version != _VERSION)
        self._folders = [root / folder for folder in config.code]
        self._imported: set[str] = set()

    def load(self, claim: Claim) -> Any:
        """Import as `PluginManager.load`. A module of the project comes from the project's folders."""
        if claim.version != _VERSION or claim.module in self._imported:
            return super().load(claim)
        with _IMPORTING:
            _make_way(self._folders)
            plugin, imported = super().load(claim), _origin(claim.module)
        if (file := _found(claim.module, self._folders, imported)) != imported:
            message = f"{claim} is hidden: Python imports {imported} under this name, not {file}"
            raise PluginBroken(message, hint="Rename the file, and write its new name in [plugins] modules.")
        self._imported.add(claim.module)
        return plugin


def check_bytecode(claims: Iterable[Claim]) -> None:
    """Have this process import plugins of third parties from their source where their bytecode is in doubt: their code is part of cache keys."""
    packages = {_top(claim.module.partition(":")[0]) for claim in claims if claim.distribution != "mlopsfw"}
    finders = (each for each in sys.meta_path if isinstance(each, SourceImports) and not each.code)
    if (finder := next(finders, None)) is None:
        finder = SourceImports(())
        sys.meta_path.insert(0, finder)
    finder.plugins |= packages


def _make_way(folders: list[Path]) -> None:
    """Let these folders' modules be imported where another project of this process has modules of the same names.

    What was imported for that project goes on with the modules that it has.
    """
    own = SourceImports([str(folder) for folder in folders])
    finders = [each for each in sys.meta_path if isinstance(each, SourceImports)]
    here = {path.stem for folder in folders for path in folder.glob("*")} - {"__main__"}
    same = {name: _origin(name) for name in list(sys.modules) if _top(name) in here}
    edited = {name for name, file in same.items() if not file or any(each.covers(name, file) for each in finders)}
    foreign = {_top(name) for name in edited if same[name] and same[name] != _found(name, folders, same[name])}
    for name in edited:
        if _top(name) in foreign:
            del sys.modules[name]
    others = {folder for each in finders for folder in each.code}.difference(own.code)
    first = next((at for at, folder in enumerate(sys.path) if os.path.realpath(folder) + os.sep in others), -1)
    behind = [str(folder) for folder in folders if str(folder) in sys.path[first:]]
    if first >= 0:
        sys.path[first:] = behind + [folder for folder in sys.path[first:] if folder not in behind]


def _top(name: str) -> str:
    return name.partition(".")[0]


def _origin(name: str) -> str:
    """Return the file of a module that is imported; empty for one without a file."""
    file = getattr(sys.modules[name], "__file__", None)
    return os.path.realpath(file) if file else ""


def _found(name: str, folders: list[Path], default: str) -> str:
    """Return the file of a module of these folders, as `_origin`."""
    file = _file(name, folders)
    return default if file is None else os.path.realpath(file)


def own_claims(root: Path, config: ProjectConfig) -> list[Claim]:
    """Return what the modules of `[plugins] modules` offer, and make them importable in this process.

    Args:
        root: The project's folder.
        config: Names the modules, and the folders of the project's code.

    Raises:
        ConfigError: There is no such module, it cannot be read, or the name of a provider is no text.
    """
    folders = [root / folder for folder in config.code]
    sys.path += [str(folder) for folder in folders if str(folder) not in sys.path]
    if (edited := SourceImports([str(folder) for folder in folders])) not in sys.meta_path:
        sys.meta_path.insert(0, edited)
    return [claim for module in config.modules for claim in _claims(module, folders, config)]


def _claims(module: str, folders: list[Path], config: ProjectConfig) -> Iterator[Claim]:
    file = _file(module, folders)
    if file is None:
        where = " or ".join(map(str, folders))
        raise config.error(
            f"there is no module {module!r} in {where}", "plugins.modules", hint="Write its name without .py."
        )
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError) as error:
        raise config.error(f"{file} cannot be read: {error}", "plugins.modules", hint="Correct the file.") from None
    hooks = {kind.spec: kind for kind in KINDS.values() if kind.choice != "verb"}
    for function in tree.body:
        if isinstance(function, ast.FunctionDef) and function.name in hooks:
            kind = hooks[function.name]
            names = _names(function, file, config) if kind.builds else [module.rpartition(".")[2]]
            yield from (Claim(kind.name, name, module, module, _VERSION, API_VERSION) for name in names)


def _file(module: str, folders: list[Path]) -> Path | None:
    path = Path(*module.split("."))
    places = (
        place for folder in folders for place in (folder / path.with_suffix(".py"), folder / path / "__init__.py")
    )
    return next((place for place in places if place.is_file()), None)


def _names(function: ast.FunctionDef, file: Path, config: ProjectConfig) -> Iterator[str]:
    """Yield the names of the providers that a hook makes."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "Provider":
            names = [keyword.value for keyword in node.keywords if keyword.arg == "name"]
            name = next(iter([*node.args, *names]), None)
            if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
                message = f"{file}:{node.lineno}: the name of a provider must be a text"
                raise config.error(message, "plugins.modules", hint='Write Provider("NAME", …).')
            yield name.value
