"""Plugins in the project's own code: `[plugins] modules = ["my_plugins"]`. What they offer is read, not imported.

As with installed plugins, a module is imported when one of its names is selected, and one that fails is blamed by name.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mlopsfw.kernel.plugins.catalog import Claim
from mlopsfw.kernel.roles.names import API_VERSION, KINDS
from mlopsfw.pipeline.run.source_imports import SourceImports

if TYPE_CHECKING:
    from mlopsfw.kernel.config import ProjectConfig

_VERSION = "of this project"


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
