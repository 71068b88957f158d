"""Find the code that a function reaches: calls, methods, decorators, defaults, constants and imports. The result may be too large, never too small.

The traversal starts at the root function and resolves each reference to a unit of the project, to a name outside the project, or to a plain
name. An import also runs the top level of its module. So for each imported module the closure counts its body, and every definition in it
that acts when it is executed (a registering decorator, a subclass of a class with `__init_subclass__`). A reference that cannot be followed
counts whole: a module used as a value counts with everything it imports; `eval`, or `importlib` with a computed name, counts the whole project.

The digest does not contain the names of the project's own functions and constants: units are numbered in the order in which the traversal
reaches them. A function keeps its name if code may ask for it: if it is passed as a value, or some reached unit reads `__name__`.

"""

from __future__ import annotations

import builtins
import hashlib
import sys
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.pipeline.cache.codebase import Codebase, Module
from mlopsfw.pipeline.cache.key import CodeUnit
from mlopsfw.pipeline.cache.source import ModuleFacts, Ref, Unit

_PURE_MODULES = frozenset(
    {
        "abc",
        "collections",
        "contextlib",
        "dataclasses",
        "datetime",
        "decimal",
        "enum",
        "fractions",
        "functools",
        "itertools",
    }
    | {
        "logging",
        "math",
        "operator",
        "pathlib",
        "re",
        "string",
        "threading",
        "time",
        "types",
        "typing",
        "uuid",
        "msgspec",
    }
)
"""Calls to these at import have no effect but their result."""
_CALLERS = frozenset(
    {"eval", "exec", "setattr", "delattr", "__import__", "map", "filter", "sorted", "min", "max", "functools.reduce"}
)
"""Exceptions: these call their arguments or reach further."""
_PURE_BASES = frozenset({"torch.nn.Module", "torch.nn:Module", "pydantic:BaseModel"})
_PROJECT_WIDE = frozenset({"eval", "exec", "compile", "sys.modules", "importlib.reload"})
_PROJECT_WIDE_MODULES = ("importlib.util", "importlib.machinery", "runpy", "pkgutil")
_MODULE_WIDE = frozenset({"globals", "vars", "locals"})
_IMPORTERS = frozenset({"__import__", "importlib.import_module"})
_OPEN = ("subprocess", "importlib.metadata", "importlib.resources", "pkg_resources", "runpy", "ctypes")
"""Modules by which code reaches what is installed without importing it."""
_BUILTINS = frozenset(dir(builtins))
_MODULE_NAMES = frozenset({"__name__", "__file__", "__package__", "__spec__", "__path__"})

Place = tuple[str, int]
"""A unit's module and its number there."""


class Hit(NamedTuple):
    """A possible target of a reference.

    Args:
        place: The unit of the project, or None for something outside it.
        name: The name that the unit binds; outside the project `module` or `module:name`, empty for a plain name.
        rest: The remaining attributes, dotted; for a plain name all of it.
    """

    place: Place | None
    name: str
    rest: str


class Code(msgspec.Struct, frozen=True):
    """The code that a function reaches.

    Args:
        digest: The digest of all of it, for the cache key.
        units: `module.name` (or `module, line n`) → the unit's own part, to name what changed.
        parameters, required, takes_any: As `source.Unit` has them for the root.
        outside: The top-level modules of installed packages that it imports.
        is_open: Whether it reaches code that cannot be followed, or starts programs.
    """

    digest: str
    units: dict[str, CodeUnit]
    parameters: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    takes_any: bool = True
    outside: tuple[str, ...] = ()
    is_open: bool = False


def code_of(codebase: Codebase, target: str) -> Code:
    """Return the code that `module:function` reaches. Raise `UsageError` if the project has no such function."""
    module_name, _, name = target.partition(":")
    module = codebase.module(module_name)
    if module is None:
        where = ", ".join(map(str, codebase.roots))
        raise UsageError(
            f"there is no module {module_name!r} for {target!r} in {where}", hint="Set [project] code, or correct it."
        )
    walk = _Walk(codebase)
    if not walk.start(module, name):
        known = [n for unit in module.facts.units for n in unit.names]
        raise UsageError(f"{module.file} has no {name!r}", hint=nearest(name, known))
    return walk.finish()


def _top(name: str) -> str:
    return name.partition(":")[0].partition(".")[0]


def _is_pure(hit: Hit) -> bool:
    """Return whether a call to something outside the project has no effect but its result."""
    full = ".".join(part for part in (hit.name.replace(":", "."), hit.rest) if part)
    return full not in _CALLERS and (_top(hit.name) in _PURE_MODULES if hit.name else hit.rest in _BUILTINS)


class _Walk:
    """One breadth-first traversal."""

    def __init__(self, codebase: Codebase) -> None:
        self._codebase = codebase
        self._numbers: dict[Place, int] = {}
        self._queue: deque[Place] = deque()
        self._modules: dict[str, None] = {}
        self._fresh: deque[str] = deque()
        self._whole: set[str] = set()
        self._outside: set[str] = set()
        self._entries: list[tuple[Place, Unit, list[str], list[str]]] = []
        self._compiled: list[str] = []
        self._introspected = False
        self._open = False

    def start(self, module: Module, name: str) -> bool:
        targets = list(self._lookup(module.name, name.split("."), ()))
        self._import(module.name)
        for hit in targets:
            if hit.place is not None:
                self._reach(hit.place)
        return bool(self._numbers)

    def finish(self) -> Code:
        while self._queue or self._fresh:
            if self._queue:
                self._read_unit(self._queue.popleft())
            else:
                self._read_body(self._fresh.popleft())
        parts = [self._line(*entry) for entry in self._entries]
        parts += sorted(f"outside {name}" for name in self._outside) + self._compiled
        units = dict(self._shown(*entry) for entry in self._entries)
        root = self._entries[0][1]
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        outside = tuple(sorted(self._outside))
        return Code(digest, units, root.parameters, root.required, root.takes_any, outside, self._open)

    def _line(self, _place: Place, unit: Unit, tokens: list[str], _outside: list[str]) -> str:
        return " ".join((unit.named if self._introspected else unit.digest, *tokens))

    def _shown(self, place: Place, unit: Unit, _tokens: list[str], outside: list[str]) -> tuple[str, CodeUnit]:
        name, _ = place
        module = self._codebase.module(name)
        label = f"{name}.{unit.names[0]}" if unit.kind != "body" else f"{name}, line {unit.line}"
        digest = hashlib.sha256(
            " ".join((unit.digest, *outside, *(ref.path for ref in unit.refs))).encode()
        ).hexdigest()[:16]
        return label, CodeUnit(str(module.file) if module else "", digest)

    # -- reaching ----------------------------------------------------------------------------------------------------------

    def _reach(self, place: Place) -> int:
        if place not in self._numbers:
            self._numbers[place] = len(self._numbers)
            self._queue.append(place)
            self._import(place[0])
        return self._numbers[place]

    def _import(self, name: str) -> None:
        """Count the code that importing `name` runs: first its packages, as Python does."""
        self._open |= name.startswith(_OPEN)
        parts = name.split(".")
        for depth in range(1, len(parts) + 1):
            part = ".".join(parts[:depth])
            if part in self._modules:
                continue
            module = self._codebase.module(part)
            if module is None:
                if depth == 1 and part and part not in sys.stdlib_module_names and part != "mlopsfw":
                    self._outside.add(part)
                return
            self._modules[part] = None
            self._fresh.append(part)

    def _whole_module(self, name: str) -> None:
        """Count every unit of a module, and of every module of the project that it imports."""
        module = self._codebase.module(name)
        if module is None or name in self._whole:
            return
        self._whole.add(name)
        self._import(name)
        for number, unit in enumerate(module.facts.units):
            self._reach((name, number))
            for inner in unit.modules:
                self._whole_module(inner)
        for inner in module.facts.modules:
            self._whole_module(inner)

    def _whole_project(self) -> None:
        self._open = True
        for module in self._codebase.every_module():
            self._whole_module(module.name)

    # -- reading -----------------------------------------------------------------------------------------------------------

    def _read_body(self, name: str) -> None:
        module = self._codebase.module(name)
        if module is None:
            return
        if module.file is not None and module.file.suffix != ".py":
            self._compiled.append(f"compiled {module.digest}")
        for inner in module.facts.modules:
            self._import(inner)
        for number, unit in enumerate(module.facts.units):
            if unit.kind == "body" or self._acts(name, unit):
                self._reach((name, number))

    def _acts(self, module: str, unit: Unit) -> bool:
        """Return whether this definition does more than bind its name."""
        return any(not self._pure(module, unit, path) for path in unit.effects) or any(
            self._hooked(module, unit, base) for base in unit.bases
        )

    def _pure(self, module: str, unit: Unit, path: str) -> bool:
        return all(hit.place is None and _is_pure(hit) for hit in self._resolve(module, unit, path))

    def _hooked(self, module: str, unit: Unit, base: str, depth: int = 0) -> bool:
        """Return whether subclassing `base` may change more than the subclass."""
        if depth > 50:  # noqa: PLR2004 - a class that is its own base cannot be made
            return True
        for place, name, rest in self._resolve(module, unit, base):
            if place is not None:
                target = self._unit(place)
                if target.kind != "class" or rest or target.hooks:
                    return True
                if any(self._hooked(place[0], target, inner, depth + 1) for inner in target.bases):
                    return True
            elif name and (_top(name) in _PURE_MODULES or name in _PURE_BASES):
                continue
            elif name or rest not in _BUILTINS:
                return True
        return False

    def _unit(self, place: Place) -> Unit:
        module = self._codebase.module(place[0])
        if module is None:  # pragma: no cover - every place comes from a module that was found
            raise LookupError(place)
        return module.facts.units[place[1]]

    def _read_unit(self, place: Place) -> None:
        unit = self._unit(place)
        self._introspected |= unit.introspects
        for inner in (*unit.modules, *unit.named_imports):
            self._import(inner)
        tokens, outside = [], []
        for ref in unit.refs:
            token, is_outside = self._token(place[0], unit, ref)
            tokens.append(token)
            if is_outside:
                outside.append(token)
        if unit.subclasses:
            self._whole_project()
        self._entries.append((place, unit, tokens, outside))

    def _token(self, module: str, unit: Unit, ref: Ref) -> tuple[str, bool]:
        tokens, is_outside = [], True
        for hit in self._resolve(module, unit, ref.path):
            if hit.place is not None:
                tokens.append(f"#{self._reach(hit.place)}{self._counted_name(hit, ref)}.{hit.rest}")
                is_outside = False
                continue
            self._follow_outside(hit, module, unit)
            of_module = not hit.name and hit.rest in _MODULE_NAMES
            tokens.append(f"{module}:{hit.rest}" if of_module else f"{hit.name}.{hit.rest}")
        return "|".join(tokens), is_outside

    def _counted_name(self, hit: Hit, ref: Ref) -> str:
        """Return the name if it matters: several names are bound together, or code may ask the function for its name."""
        target = self._unit(hit.place) if hit.place else None
        asked = target and target.kind == "function" and (hit.rest or not ref.called)
        return hit.name if asked or (target and len(target.names) != 1) else ""

    def _follow_outside(self, hit: Hit, module: str, unit: Unit) -> None:
        """Handle names of the language and the standard library that reach code which cannot be followed."""
        full = ".".join(part for part in (hit.name.replace(":", "."), hit.rest) if part).removeprefix("builtins.")
        if full in _IMPORTERS and (unit.open_imports or not unit.named_imports):
            self._whole_project()
        elif full in _IMPORTERS:
            for inner in unit.named_imports:
                self._whole_module(inner)
        elif full in _PROJECT_WIDE or full.startswith(("sys.modules.", *_PROJECT_WIDE_MODULES)):
            self._whole_project()
        elif full in _MODULE_WIDE:
            self._whole_module(module)
        elif hit.name and self._codebase.module(hit.name) is not None:
            self._whole_module(hit.name)

    # -- resolving ---------------------------------------------------------------------------------------------------------

    def _resolve(self, module: str, unit: Unit, path: str) -> Iterator[Hit]:
        """Yield the possible targets of `path`: a unit and the remaining attributes, or an outside name (empty for a plain name)."""
        if path == "?":
            yield Hit(None, "", path)
            return
        first, *rest = path.split(".")
        found = False
        for target in unit.imports.get(first, ()):
            found = True
            yield from self._import_target(target, rest, ())
        if unit.kind == "body" or first not in unit.imports:
            for item in self._lookup(module, [first, *rest], ()):
                found = True
                yield item
        if not found:
            yield Hit(None, "", path)

    def _lookup(self, module: str, path: list[str], seen: tuple[str, ...]) -> Iterator[Hit]:
        """Yield the targets of `path` in a module of the project; none if the module has no such name."""
        found = self._codebase.module(module)
        mark = f"{module}:{path[0]}"
        if found is None or mark in seen:
            return
        first, rest, seen = path[0], path[1:], (*seen, mark)
        hit = False
        for number, unit in enumerate(found.facts.units):
            if first in unit.names:
                hit = True
                yield Hit((module, number), first, ".".join(rest))
        for target in found.facts.imports.get(first, ()):
            hit = True
            yield from self._import_target(target, rest, seen)
        if not hit:
            yield from self._starred(found.facts, path, seen)

    def _starred(self, facts: ModuleFacts, path: list[str], seen: tuple[str, ...]) -> Iterator[Hit]:
        for star in facts.stars:
            if self._codebase.module(star) is not None:
                yield from self._lookup(star, path, seen)
            elif path[0] not in _BUILTINS:
                yield Hit(None, f"{star}:*", ".".join(path))

    def _import_target(self, target: str, rest: list[str], seen: tuple[str, ...]) -> Iterator[Hit]:
        """Resolve the target of an import (`module` or `module:name`) and the attributes after it."""
        module, colon, name = target.partition(":")
        if self._codebase.module(module) is None:
            yield Hit(None, target, ".".join(rest))
            return
        path = [name, *rest] if colon else rest
        while path and not (hits := list(self._lookup(module, path, seen))):
            if self._codebase.module(f"{module}.{path[0]}") is None:
                break
            module, path = f"{module}.{path[0]}", path[1:]
        else:
            if path:
                yield from hits
                return
        yield Hit(
            None, module, ".".join(path)
        )  # the module itself, or an attribute that cannot be found: count the whole module
