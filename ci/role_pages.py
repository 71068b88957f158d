"""Write docs/roles, a page for each kind of plugin and one for `Host`, from the hooks, the protocols, the kits and the samples.

Run: python ci/role_pages.py. A test compares the pages with the code.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from describe import described, fields_of, methods, prose, signature

from mlopsfw import components, roles
from mlopsfw.cli.plugin_new import roles as samples
from mlopsfw.kernel.plugins.catalog import installed
from mlopsfw.kernel.roles import hookspecs
from mlopsfw.kernel.roles.names import KINDS, Kind
from mlopsfw.project.config.docstrings import summary

PAGES = Path(__file__).parent.parent / "docs" / "roles"

_HEAD = "<!-- Written by `python ci/role_pages.py` from the code. Do not edit this page. -->\n"
_CHOICE = {
    "one": 'A project uses one: `[{0}] use = "NAME"`, with its options in `[{0}.NAME]`. `[{0}.OWN]` with a `use` gives a second one a name of its own.',
    "many": "A project uses any number: each `[[{0}]]` has a `use`, and its options stand in the same table. `name` tells two of one kind apart.",
    "name": "What mlopsfw reads chooses it by its name; `[{0}.NAME]` has the options of the project.",
    "step": 'A step of a pipeline chooses it: `[steps.OWN]` with `use = "NAME"`, and its options in the same table.',
    "all": "Every installed one takes part in every project; `[{0}.NAME]` has its options.",
    "verb": "The command line offers it as the verb that the entry point names.",
}
_ELSEWHERE = {"Host", "Event"}  # have a page of their own


def pages() -> dict[str, str]:
    """Return each page by its file's name."""
    made = {f"{kind.name}.md": _page(kind) for kind in KINDS.values()}
    about = "What `build(config, host)` gets of mlopsfw, and what an observer is called with.\n"
    host = [f"# `Host`\n\n{_HEAD}\n{about}", *described(roles.Host), *_records(roles.Host, roles)]
    return made | {"host.md": "".join(host), "README.md": _index()}


def _index() -> str:
    rows = "".join(
        f"| [`{kind.name}`]({kind.name}.md) | `{kind.spec}` | {summary(getattr(hookspecs, kind.spec))} |\n"
        for kind in KINDS.values()
    )
    head = f"# Roles\n\n{_HEAD}\nA page for each kind of plugin. [Writing a plugin](../writing-plugins.md) shows how to start.\n"
    return f"{head}\n| entry point | hook | description |\n|---|---|---|\n{rows}\n[`Host`](host.md) is what every plugin gets of mlopsfw.\n"


def _page(kind: Kind) -> str:
    hook = getattr(hookspecs, kind.spec)
    face = components if kind.builds == "Component" else roles
    parts = [f"# `{kind.name}`\n\n{_HEAD}\n", inspect.cleandoc(hook.__doc__).replace("Example::", "Example:"), "\n\n"]
    parts.append(f"{_CHOICE[kind.choice].format(kind.name)}\n\nThe hook: `{kind.spec}{signature(hook)}`\n")
    if bundled := sorted(
        claim.name for claim in installed() if claim.kind == kind.name and claim.distribution == "mlopsfw"
    ):
        parts.append(f"\nmlopsfw has {', '.join(f'`{name}`' for name in bundled)}.\n")
    if kind.reserved:
        parts.append(
            f"\nNo plugin can have the names {', '.join(f'`{name}`' for name in kind.reserved)}: they are mlopsfw's own.\n"
        )
    if kind.name in samples():
        parts.append(f"\n`mlopsfw plugins new {kind.name} NAME` writes a package that works.\n")
    if kind.builds:
        built = getattr(face, kind.builds)
        parts += [f"\n## `{kind.builds}`\n\n", *described(built), *_records(built, face)]
    return "".join([*parts, *_kit(kind)])


def _records(each: Any, face: Any) -> Iterator[str]:
    """Yield the public records and protocols that a class refers to, and those that they refer to; then the values of their words."""
    seen, waiting = {each.__name__, *_ELSEWHERE}, _referred(each, face)
    words = _words(each)
    while waiting:
        name = waiting.pop(0)
        if name in seen:
            continue
        seen.add(name)
        yield from (f"\n## `{name}`\n\n", *described(getattr(face, name)))
        waiting += _referred(getattr(face, name), face)
        words |= _words(getattr(face, name))
    if words:
        yield "\n## Values\n\n| type | is one of |\n|---|---|\n"
        yield from (f"| `{name}` | {', '.join(f'`{value}`' for value in words[name])} |\n" for name in sorted(words))


def _words(each: Any) -> dict[str, list[str]]:
    """Return each type that a class refers to and that is one of a few words, such as `ColumnType`, with the words."""
    texts = [
        *_types(each),
        *(str(inspect.signature(m.fget).return_annotation) for _, m in methods(each) if isinstance(m, property)),
    ]
    module = vars(sys.modules[each.__module__])
    found = {name: _values(module.get(name)) for text in texts for name in re.findall(r"\b[A-Z]\w+", text)}
    return {name: values for name, values in found.items() if values}


def _values(alias: Any) -> list[str]:
    if get_origin(alias) is Literal:
        return list(get_args(alias))
    parts = [_values(part) for part in get_args(alias)] if get_origin(alias) in (Union, UnionType) else []
    return [value for part in parts for value in part] if all(parts) else []


def _referred(each: Any, face: Any) -> list[str]:
    words = dict.fromkeys(word for text in _types(each) for word in re.findall(r"\b[A-Z]\w+", text))
    return [word for word in words if word in face.__all__ and inspect.isclass(getattr(face, word))]


def _types(each: Any) -> list[str]:
    texts = [type_ for _, type_, _ in fields_of(each)]
    return texts + [signature(method.fget if isinstance(method, property) else method) for _, method in methods(each)]


def _kit(kind: Kind) -> Iterator[str]:
    """Yield what the conformance kit tests, in the words of its tests' names."""
    try:
        module = importlib.import_module(f"mlopsfw.testing.{kind.name}")
    except ModuleNotFoundError as error:
        if error.name != f"mlopsfw.testing.{kind.name}":  # a kit that is there and cannot be imported must not vanish
            raise
        return
    for name, kit in vars(module).items():
        if name.endswith("Conformance") and kit.__module__ == module.__name__:
            yield f"\n## The kit: `{module.__name__}.{name}`\n\n{prose(kit)}\n\n"
            tests = [test.removeprefix("test_").replace("_", " ") for test in vars(kit) if test.startswith("test_")]
            yield "".join(f"- {test[0].upper()}{test[1:]}\n" for test in tests)
            if example := inspect.getdoc(module):
                _, _, code = example.partition("\n\n")
                yield f"\n{textwrap.indent(code.strip(), '    ')}\n" if "class Test" in code else ""


if __name__ == "__main__":
    PAGES.mkdir(exist_ok=True)
    for file, text in pages().items():
        (PAGES / file).write_text(text, encoding="utf-8")
