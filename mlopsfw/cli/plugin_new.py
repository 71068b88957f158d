"""`mlopsfw plugins new`: write the package of a new plugin, which works and passes its kit as it stands."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from mlopsfw import __version__
from mlopsfw.cli.output_file import write_file
from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.plugins.catalog import Catalog

_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_LONGEST = 40
_ALSO = {"trainer": ("runtime",)}  # which further roles a sample fulfils
_PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{distribution}"
version = "0.1.0"
description = "{summary}"
requires-python = ">=3.11"
dependencies = ["mlopsfw[data]>={version}"]

[project.optional-dependencies]
test = ["pytest"]

[project.entry-points."mlopsfw.v1"]
{points}

[tool.setuptools.packages.find]
where = ["src"]
"""
_README = """\
# {distribution}

{summary}

    pip install -e '.[test]'
    mlopsfw plugins check .

`plugins check` loads the plugin as mlopsfw does, and runs the tests: the kit of the role, and what you add.
"""


def roles() -> list[str]:
    """Return the roles for which there is a sample, in alphabetical order."""
    files = (resources.files("mlopsfw") / "scaffold").iterdir()
    return sorted(Path(file.name).stem for file in files if file.name.endswith(".py") and file.name[0] != "_")


def write_package(role: str, name: str, parent: Path) -> Path:
    """Write the package `mlopsfw-ROLE-NAME` into a new folder of `parent`; return the folder.

    Args:
        role: One of `roles()`.
        name: What configuration will select.
        parent: Where the folder is made.

    Raises:
        UsageError: There is no such role, the name is no name, a plugin or a folder of that name exists.
    """
    keys = _entry_points(role, name)
    folder = parent / f"mlopsfw-{role}-{name}"
    files = _files(folder.name, role, name, keys)
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise UsageError(f"{folder} exists already", hint="Choose another name, or another --folder.") from None
    for relative, text in files.items():
        (folder / relative).parent.mkdir(parents=True, exist_ok=True)
        write_file(folder / relative, text)
    return folder


def _entry_points(role: str, name: str) -> list[str]:
    """Return the names of the package's entry points; raises as `write_package`."""
    if role not in roles():
        raise UsageError(f"there is no role {role!r}", hint=nearest(role, roles()))
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        hint = f"Write at most {_LONGEST} lower-case letters and digits, with single dashes between."
        raise UsageError(f"{name!r} cannot be a plugin's name", hint=hint)
    keys = [f"{each}.{name}" for each in (role, *_ALSO.get(role, ()))]
    for claim in Catalog().claims:
        if claim.key in keys:
            raise UsageError(f"{claim} exists", hint="Choose another name.")
    return keys


def _files(distribution: str, role: str, name: str, keys: list[str]) -> dict[str, str]:
    """Return the files of the package: path → text."""
    module = distribution.replace("-", "_")
    plugin = _sample(f"{role}.py", role, name)
    summary = plugin.removeprefix('"""').partition("\n")[0].removesuffix('"""').replace("`", "")
    points = "\n".join(f'"{key}" = "{module}"' for key in keys)
    about = {
        "points": points,
        "distribution": distribution,
        "module": module,
        "role": role,
        "name": name,
        "version": __version__,
    }
    return {
        "pyproject.toml": _PYPROJECT.format(summary=summary.replace('"', "'"), **about),
        "README.md": _README.format(summary=summary, **about),
        f"src/{module}/__init__.py": plugin,
        f"src/{module}/py.typed": "",
        f"tests/test_{module}.py": _sample(f"kits/{role}.py", role, name),
    }


def _sample(file: str, role: str, name: str) -> str:
    """Return a sample's text under the plugin's own name."""
    text = (resources.files("mlopsfw") / "scaffold" / file).read_text(encoding="utf-8")
    text = text.replace(f"mlopsfw.scaffold.{role}", f"mlopsfw_{role}_{name.replace('-', '_')}")
    text = text.replace("Sample", "".join(word.capitalize() for word in name.split("-")))
    return re.sub(r"\bsample\b", name, text)
