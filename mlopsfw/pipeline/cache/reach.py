"""Which installed distributions can change a step's result: those that its code imports, with what they require and what plugs into them.

The answer may be too large, never too small: where it is unsure, everything that is installed counts.

"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from mlopsfw.lineage.environment import Distribution, distributions, normalised

_REQUIRED = re.compile(r"^Requires-Dist:\s*([A-Za-z0-9][A-Za-z0-9._-]*)([^\n]*)$", re.MULTILINE)
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")
_GROUP = re.compile(r"^\s*\[([^]]+)]", re.MULTILINE)
_DEVELOPERS_EXTRA = re.compile(
    r"(^|[-_.])(bench(marks?|marking)?|build|ci|code[-_.]?style|cov(erage)?|dev(el|elop|elopers?|elopment)?|docs?|documentation|format|"
    r"lint(ers?|ing)?|pre[-_.]?commit|profiling|quality|release|rtd|style|tests?|testing|tox|types?|typing|type[-_.]?check(ing)?)([-_.]|$)"
)
_DEVELOPERS_TOOL = re.compile(
    r"(black|build|check-manifest|cov-core|coverage|flake8|hypothesis|isort|mkdocs|mypy|nox|pre-commit|pylint|pyright|pytest|ruff|sphinx|tox|"
    r"twine|types)(-.*)?"
)
"""What no result depends on where only an extra asks for it: `pandas[test]`, or `mypy` in `idna[all]`. Other extras count: `pandas[parquet]`
changes how a file is read. Who imports such a tool depends on it all the same."""


class Reach:
    """What is installed, and which of it code reaches. Reads metadata only of what is reached.

    Args:
        installed: Normalised name → distribution; by default those of this process.
    """

    def __init__(self, installed: dict[str, Distribution] | None = None) -> None:
        self._installed = distributions() if installed is None else installed
        self._needs: dict[str, tuple[str, ...]] = {}
        self._providers: dict[str, tuple[str, ...] | None] = {}

    def of(self, roots: Iterable[str], modules: Iterable[str]) -> dict[str, str] | None:
        """Return name → version of every distribution that is reached, or None if that is unsure.

        Args:
            roots: Distributions that are used.
            modules: Top-level modules that are imported.
        """
        waiting = [normalised(root) for root in roots]
        if any(root not in self._installed for root in waiting):
            return None
        for module in modules:
            providers = self.providers(module)
            if providers is None:
                return None
            waiting += providers
        reached: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in reached or name not in self._installed:
                continue
            reached.add(name)
            waiting += [*self._required(name), *self._pluggable.get(name.replace("-", "_"), ())]
        return {name: self._installed[name].version for name in sorted(reached)}

    def _required(self, name: str) -> tuple[str, ...]:
        """Return what a distribution requires, the extras of its developers apart."""
        if name not in self._needs:
            header = _read(self._installed[name].metadata / "METADATA").partition("\n\n")[0]
            self._needs[name] = tuple(
                normalised(required)
                for required, rest in _REQUIRED.findall(header)
                if _matters(required, _EXTRA.findall(rest))
            )
        return self._needs[name]

    @cached_property
    def _pluggable(self) -> dict[str, list[str]]:
        """Module → the distributions with entry points in a group of its name: `fsspec.specs` plugs into `fsspec`."""
        found: dict[str, list[str]] = {}
        for name, each in self._installed.items():
            for group in _GROUP.findall(_read(each.metadata / "entry_points.txt")):
                found.setdefault(group.strip().partition(".")[0].lower().replace("-", "_"), []).append(name)
        return found

    def providers(self, module: str) -> tuple[str, ...] | None:
        """Return the distributions that provide a module; none if there is no such module; None if nobody says who does."""
        if module not in self._providers:
            found = [name for name in self._installed if name == normalised(module)]
            found = found or list(self._providing(module))
            self._providers[module] = tuple(found) if found or not _exists(module) else None
        return self._providers[module]

    def _providing(self, module: str) -> Iterator[str]:
        files = re.compile(rb"^%b[/.]" % re.escape(module.encode()), re.MULTILINE)
        for name, each in self._installed.items():
            if module in _read(each.metadata / "top_level.txt").split() or files.search(
                _bytes(each.metadata / "RECORD")
            ):
                yield name


def _matters(required: str, extras: list[str]) -> bool:
    """Return whether a result may depend on what a distribution requires, of itself or for some extras."""
    return not extras or not (
        _DEVELOPERS_TOOL.fullmatch(normalised(required)) or any(_DEVELOPERS_EXTRA.search(e.lower()) for e in extras)
    )


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _read(file: Path) -> str:
    return _bytes(file).decode(errors="replace")


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
