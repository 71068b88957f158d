"""Describe public records, protocols and functions in Markdown, from their docstrings and fields. The scripts that write pages share it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

import msgspec

from mlopsfw.project.config import docstrings

_REQUIRED = object()


def described(each: Any) -> Iterator[str]:
    """Yield a class's docstring, its fields and its methods."""
    yield f"{prose(each)}\n"
    columns = list(fields_of(each))
    if columns:
        texts = meanings(each)
        yield "\n| field | type | default | meaning |\n|---|---|---|---|\n"
        for name, type_, default in columns:
            yield f"| `{name}` | `{cell(type_)}` | {default} | {texts.get(name, '')} |\n"
    for name, method in methods(each):
        is_property = isinstance(method, property)
        function = method.fget if is_property else getattr(each, name)
        call = (
            f"{name} -> {inspect.signature(function).return_annotation}"
            if is_property
            else f"{name}{signature(function)}"
        )
        yield f"\n### `{call}`\n\n{markdown(inspect.getdoc(function) or '')}\n"


def fields_of(each: Any) -> Iterator[tuple[str, str, str]]:
    """Yield name, type and default of each field of a record; none of a protocol."""
    annotations = {
        name: type_
        for above in reversed(each.__mro__)
        for name, type_ in vars(above).get("__annotations__", {}).items()
    }
    for name, default in defaults(each).items():
        if name.startswith("_"):
            continue
        annotation = getattr(annotations[name], "__forward_arg__", annotations[name])  # of a NamedTuple
        yield name, str(annotation), "required" if default is _REQUIRED else f"`{cell(_default(default))}`"


def defaults(each: Any) -> dict[str, Any]:
    """Return each field of a record with its default."""
    if issubclass(each, msgspec.Struct):
        names, given = each.__struct_fields__, each.__struct_defaults__
        defaults = dict(zip(names[len(names) - len(given) :], given, strict=True))
        return {
            name: _REQUIRED if (value := defaults.get(name, msgspec.NODEFAULT)) is msgspec.NODEFAULT else value
            for name in names
        }
    if is_dataclass(each):
        return {f.name: _value(f.default, f.default_factory) for f in fields(each) if f.init}
    return {name: each._field_defaults.get(name, _REQUIRED) for name in getattr(each, "_fields", ())}


def _value(default: Any, factory: Any) -> Any:
    if default is not MISSING:
        return default
    return _REQUIRED if factory is MISSING else factory


def _default(value: Any) -> str:
    if inspect.isclass(value):
        return f"{value.__name__}()"
    made = getattr(value, "factory", None)  # of msgspec
    if made is not None:
        return repr(made())
    return str(getattr(value, "__name__", "")).lstrip("_") or repr(value)


def methods(each: Any) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties of a class, those of its base classes first."""
    members = {name: member for above in reversed(each.__mro__) for name, member in vars(above).items()}
    for name, member in members.items():
        if (
            not name.startswith("_")
            and (inspect.isfunction(member) or isinstance(member, property | classmethod))
            and _is_own(member)
        ):
            yield name, member


def _is_own(member: Any) -> bool:
    function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
    return bool(function.__module__.startswith("mlopsfw"))


class _Plain:
    """An annotation that is shown without quotes."""

    def __init__(self, annotation: Any) -> None:
        self._text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)

    def __repr__(self) -> str:
        return self._text


def signature(function: Any) -> str:
    """Return a function's parameters and result as text, without `self`."""
    whole = inspect.signature(function)
    empty = inspect.Parameter.empty
    parameters = [
        each if each.annotation is empty else each.replace(annotation=_Plain(each.annotation))
        for each in whole.parameters.values()
    ]
    result = whole.return_annotation
    text = str(whole.replace(parameters=parameters, return_annotation=result if result is empty else _Plain(result)))
    return re.sub(r"\(/, ", "(", text.replace("(self, ", "(").replace("(self)", "()"))


def prose(each: Any) -> str:
    """Return a docstring without its arguments."""
    return markdown(docstrings.prose(each))


def markdown(text: str) -> str:
    """Return a docstring in which the arguments and the errors are lists, and the result is a paragraph."""
    lines, inside = [], ""
    for line in text.splitlines():
        if line in ("Args:", "Raises:", "Attributes:", "Returns:", "Yields:"):
            inside = line
            lines.append(f"**{line[:-1]}**\n")
        elif inside in ("Returns:", "Yields:") and line.startswith(" "):
            lines.append(line.strip())
        elif inside and re.match(r"^ {4}\S", line):
            name, _, rest = line.strip().partition(": ")
            lines.append(f"- `{name}`: {rest}" if rest else f"- {name}")
        else:
            inside = inside if not line or line.startswith(" ") else ""
            lines.append(f"  {line.strip()}" if inside and line else line)
    return "\n".join(lines)


def meanings(each: Any) -> dict[str, str]:
    """Return what the docstring of a record says of each field, for cells of a table."""
    return {name: cell(text) for name, text in docstrings.meanings(each).items()}


def cell(text: str) -> str:
    """Return text for a cell of a table."""
    return text.replace("|", "\\|")
