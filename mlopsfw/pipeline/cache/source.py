"""Read one Python module into facts: its top-level units, their references, and the effects of importing it.

Reading imports and runs nothing. A unit's digest covers its syntax tree without positions, comments and docstrings, and with every reference
(`name` or `name.attribute…`, as read) replaced by a number. `closure` resolves the numbers. So a digest changes with the code, not with its
formatting, and renaming a function changes only the code that refers to it.

"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import msgspec

FORMAT = 1
"""Raise it when the way of making facts changes, so that older stored facts are not read."""

_INTROSPECTION = frozenset({"__name__", "__qualname__", "__doc__", "__code__"})
_IMPORTERS = frozenset({"import_module", "__import__"})

_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Ref(msgspec.Struct, array_like=True, frozen=True):
    """A reference as written.

    Args:
        path: `name.attribute…`.
        called: Whether it is called on the spot; a function passed on as a value may be asked for its name.
    """

    path: str
    called: bool = False


class Unit(msgspec.Struct, array_like=True, frozen=True):
    """One top-level statement.

    Args:
        kind: `function`, `class`, `constant` (an assignment), or `body` (anything else: it runs at import).
        names: What it binds.
        line: Where it starts, 1-based.
        digest: Of its tree; a function's own name is not in it.
        named: The same with its own name and docstrings.
        refs: What the numbers in the tree stand for.
        imports: Names that its own imports bind → `module` or `module:name`.
        modules: Modules that it imports when it runs.
        effects: References called when the module is imported; `?` for a call of something that has no name.
        bases: A class's bases, as written.
        hooks: Whether a class acts on its subclasses (`__init_subclass__`, a metaclass).
        named_imports: Modules that it imports by a call with a constant name.
        open_imports: Whether it imports by a call with a name that is worked out.
        introspects: Whether it asks for names or docstrings of what it is given.
        subclasses: Whether it asks a class for its subclasses.
        parameters: A function's parameters that can be given by name.
        required: Those without a default.
        takes_any: Whether it takes `**keywords` (or is no function, so that nobody knows).
    """

    kind: str
    names: tuple[str, ...]
    line: int
    digest: str
    named: str
    refs: tuple[Ref, ...]
    imports: dict[str, tuple[str, ...]]
    modules: tuple[str, ...]
    effects: tuple[str, ...]
    bases: tuple[str, ...]
    hooks: bool
    named_imports: tuple[str, ...]
    open_imports: bool
    introspects: bool
    subclasses: bool
    parameters: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    takes_any: bool = True


class ModuleFacts(msgspec.Struct, array_like=True, frozen=True):
    """The facts of one module that `closure` needs.

    Args:
        units: Its top-level statements, imports apart.
        imports: Names bound by its imports, wherever in its top level → each `module` or `module:name` it may be.
        stars: Modules it imports `*` from.
        modules: Every module that importing it imports.
    """

    units: tuple[Unit, ...]
    imports: dict[str, tuple[str, ...]]
    stars: tuple[str, ...]
    modules: tuple[str, ...]


def read_module(source: bytes, module: str, *, is_package: bool) -> ModuleFacts:
    """Analyse a module's source. Raise `SyntaxError` (with a line) where Python does."""
    package = module if is_package else module.rpartition(".")[0]
    tree = ast.parse(source)
    units: list[Unit] = []
    found = _Imports(package)
    for statement in _without_docstring(tree.body):
        if isinstance(statement, ast.Import | ast.ImportFrom):
            found.add(statement)
        elif not _is_main_guard(statement):
            unit = _unit(statement, package)
            units.append(unit)
            if unit.kind == "body":
                found.add_all(statement)
    return ModuleFacts(tuple(units), found.bound(), tuple(found.stars), tuple(found.modules))


def _is_main_guard(statement: ast.stmt) -> bool:
    """Return whether this is `if __name__ == "__main__":`, which an import never enters."""
    return (
        isinstance(statement, ast.If)
        and not statement.orelse
        and ast.unparse(statement.test) == "__name__ == '__main__'"
    )


class _Imports:
    """Collects the names that import statements bind."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.names: dict[str, list[str]] = {}
        self.stars: list[str] = []
        self.modules: dict[str, None] = {}

    def add_all(self, node: ast.AST) -> None:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Import | ast.ImportFrom):
                self.add(inner)

    def add(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                self.modules[alias.name] = None
                self._bind(
                    alias.asname or alias.name.partition(".")[0],
                    alias.name if alias.asname else alias.name.partition(".")[0],
                )
            return
        module = self._absolute(node)
        self.modules[module] = None
        for alias in node.names:
            if alias.name == "*":
                self.stars.append(module)
            else:
                self.modules[f"{module}.{alias.name}"] = (
                    None  # a submodule perhaps; if it is none, the traversal finds nothing there
                )
                self._bind(alias.asname or alias.name, f"{module}:{alias.name}")

    def _bind(self, name: str, target: str) -> None:
        self.names.setdefault(name, []).append(target)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.package.split(".")
        base = ".".join(parts[: len(parts) - node.level + 1])
        return ".".join(part for part in (base, node.module) if part)

    def bound(self) -> dict[str, tuple[str, ...]]:
        return {name: tuple(dict.fromkeys(targets)) for name, targets in self.names.items()}


def _unit(node: ast.stmt, package: str) -> Unit:
    kind, names = _kind(node)
    plain, named = _Template(node, keep_names=False), _Template(node, keep_names=True)
    imports = _Imports(package)
    imports.add_all(node)
    return Unit(
        kind=kind,
        names=names,
        line=node.lineno,
        digest=plain.digest(),
        named=named.digest(),
        refs=tuple(plain.refs),
        imports=imports.bound(),
        modules=tuple(imports.modules),
        effects=tuple(dict.fromkeys(_effects(node))),
        bases=tuple(_path(base) or "?" for base in node.bases) if isinstance(node, ast.ClassDef) else (),
        hooks=isinstance(node, ast.ClassDef) and _has_hooks(node),
        named_imports=tuple(plain.named_imports),
        open_imports=plain.open_imports,
        introspects=bool(plain.attributes & _INTROSPECTION),
        subclasses="__subclasses__" in plain.attributes,
        **(_parameters(node) if isinstance(node, _Function) else {}),
    )


def _parameters(node: _Function) -> dict[str, Any]:
    spec = node.args
    plain = [argument.arg for argument in spec.args]
    keyword = [argument.arg for argument in spec.kwonlyargs]
    with_default = plain[len(plain) - len(spec.defaults) :] if spec.defaults else []
    with_default += [name for name, default in zip(keyword, spec.kw_defaults, strict=True) if default is not None]
    names = (*plain, *keyword)
    required = tuple(argument.arg for argument in spec.posonlyargs) + tuple(n for n in names if n not in with_default)
    # A decorator may change the signature, so the wiring is not checked against it.
    return {"parameters": names, "required": required, "takes_any": bool(spec.kwarg or node.decorator_list)}


def _kind(node: ast.stmt) -> tuple[str, tuple[str, ...]]:
    if isinstance(node, _Function):
        return "function", (node.name,)
    if isinstance(node, ast.ClassDef):
        return "class", (node.name,)
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    names = list(chain.from_iterable(map(_plain_names, targets)))
    if names and all(names):
        return "constant", tuple(names)
    if type(node).__name__ == "TypeAlias":
        return "constant", (node.name.id,)  # type: ignore[attr-defined]
    return "body", tuple(_bound_within(node))


def _plain_names(target: ast.expr) -> Iterator[str]:
    """Yield the names that a target binds, and an empty name for any other target."""
    if isinstance(target, ast.Name):
        yield target.id
    elif isinstance(target, ast.Tuple | ast.List):
        for element in target.elts:
            yield from _plain_names(element)
    else:
        yield ""


def _bound_within(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, _Function | ast.ClassDef):
            yield inner.name
        elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            yield inner.id


def _has_hooks(node: ast.ClassDef) -> bool:
    own = {inner.name for inner in node.body if isinstance(inner, _Function)}
    metaclasses = [_path(word.value) for word in node.keywords if word.arg in ("metaclass", None)]
    return bool(own & {"__init_subclass__", "__prepare__"}) or any(
        name not in ("ABCMeta", "abc.ABCMeta") for name in metaclasses
    )


def _effects(node: ast.AST) -> Iterator[str]:
    """Yield the calls of a statement at import: in decorators, defaults, class bodies and values, not in function bodies."""
    if isinstance(node, ast.Lambda):
        return
    if isinstance(node, _Function | ast.ClassDef):
        for decorator in node.decorator_list:
            if not isinstance(decorator, ast.Call):
                yield _path(decorator) or "?"
    if isinstance(node, _Function):
        at_import: Iterable[ast.AST] = [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
    else:
        at_import = ast.iter_child_nodes(node)
    if isinstance(node, ast.Call):
        yield _path(node.func) or "?"
    for child in at_import:
        yield from _effects(child)


def _path(node: ast.AST) -> str:
    """Return `name.attribute…`, or an empty text if the expression is no such chain."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join((node.id, *reversed(parts))) if isinstance(node, ast.Name) else ""


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    is_docstring = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return body[1:] if is_docstring else body


def _name_field(node: ast.AST) -> str:
    """Return the field that holds the only name a statement binds, if the name does not affect its meaning."""
    if isinstance(node, _Function):
        return "name"
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        return "targets"
    return "target" if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else ""


class _Template:
    """A tree as text, with numbered references."""

    def __init__(self, node: ast.stmt, *, keep_names: bool) -> None:
        self.refs: list[Ref] = []
        self.attributes: set[str] = set()
        self.named_imports: list[str] = []
        self.open_imports = False
        self._numbers: dict[Ref, int] = {}
        self._keep, self._root = keep_names, node
        self._out: list[str] = []
        self._write(node)

    def digest(self) -> str:
        return hashlib.sha256("\n".join(self._out).encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def _write(self, node: object) -> None:
        if isinstance(node, ast.AST):
            self._node(node)
        elif isinstance(node, list):
            self._out.append(f"[{len(node)}")
            for item in node:
                self._write(item)
        else:
            self._out.append(f"{type(node).__name__} {node!r}")

    def _node(self, node: ast.AST, *, called: bool = False) -> None:
        path = _path(node) if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load) else ""
        if path:
            self._reference(path, called=called)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self._out.append("import")  # resolved at the uses of its name
        else:
            self._fields(node)

    def _reference(self, path: str, *, called: bool) -> None:
        ref = Ref(path, called)
        if ref not in self._numbers:
            self._numbers[ref] = len(self.refs)
            self.refs.append(ref)
        self._out.append(f"ref {self._numbers[ref]}")
        self.attributes.update(path.split(".")[1:])

    def _fields(self, node: ast.AST) -> None:
        self._out.append(type(node).__name__)
        if isinstance(node, ast.Attribute):
            self.attributes.add(node.attr)
        if isinstance(node, ast.Call):
            self._importing(node)
        for name in node._fields:
            value = getattr(node, name, None)
            if name in ("type_comment", "kind", "ctx") and not isinstance(value, ast.Store | ast.Del):
                continue
            if name == "body" and isinstance(node, _Function | ast.ClassDef) and not self._keep:
                value = _without_docstring(node.body)
            if node is self._root and not self._keep and name == _name_field(node):
                continue
            if name == "func" and isinstance(value, ast.Name | ast.Attribute):
                self._node(value, called=True)
            else:
                self._write(value)

    def _importing(self, node: ast.Call) -> None:
        if _path(node.func).rpartition(".")[2] not in _IMPORTERS:
            return
        first = node.args[0] if len(node.args) == 1 and not node.keywords else None
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            self.named_imports.append(first.value)
        else:
            self.open_imports = True
