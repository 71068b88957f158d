"""Write docs/reference: every verb, built-in step, option of a bundled plugin, exit code and public name, from the code.

Run: python ci/reference_pages.py. A test compares the pages with the code.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import click
import msgspec
from describe import cell, described, fields_of, markdown, meanings, signature

from mlopsfw.cli.root import cli
from mlopsfw.cli.verbs import OPTIONS, VERBS
from mlopsfw.kernel.base import errors
from mlopsfw.kernel.config.model import (
    AuditConfig,
    CaptureConfig,
    DataConfig,
    Encryption,
    PrivacyConfig,
    Retention,
    StepConfig,
)
from mlopsfw.kernel.plugins.catalog import Catalog, installed
from mlopsfw.kernel.plugins.manager import PluginManager
from mlopsfw.kernel.roles.engine import Resources
from mlopsfw.kernel.roles.names import KINDS
from mlopsfw.monitoring.settings import MonitorSettings
from mlopsfw.project.config.docstrings import description
from mlopsfw.project.config.file import PluginsTable, ProjectTable
from mlopsfw.testing.host import FakeHost

PAGES = Path(__file__).parent.parent / "docs" / "reference"

_HEAD = "<!-- Written by `python ci/reference_pages.py` from the code. Do not edit this page. -->\n"
_FACES = ("mlopsfw", "mlopsfw.roles", "mlopsfw.components", "mlopsfw.events", "mlopsfw.errors", "mlopsfw.evaluation",
          "mlopsfw.formats", "mlopsfw.sources", "mlopsfw.worker", "mlopsfw.commands", "mlopsfw.http", "mlopsfw.pages",
          "mlopsfw.features", "mlopsfw_core", "mlopsfw_core.drift", "mlopsfw_core.online")  # fmt: skip
_WHOLE = ("mlopsfw", "mlopsfw.http", "mlopsfw.pages", "mlopsfw.features")
"""Modules whose names are shown with their signature and their whole docstring."""
_ELSEWHERE = {
    "mlopsfw.roles": "roles/README.md",
    "mlopsfw.components": "roles/component.md",
    "mlopsfw.events": "events.md",
}


_TABLES = {
    "[project]": ProjectTable,
    "[plugins]": PluginsTable,
    "[data.NAME]": DataConfig,
    "[data.NAME.retention]": Retention,
    "[privacy]": PrivacyConfig,
    "[capture]": CaptureConfig,
    "[audit]": AuditConfig,
    "[steps.NAME]": StepConfig,
    "[steps.NAME.resources]": Resources,
    "[storage]": Encryption,
    "[[monitor]]": MonitorSettings,
}


def pages() -> dict[str, str]:
    """Return each page by its file's name."""
    return {
        "commands.md": "".join(_commands()),
        "configuration.md": "".join(_configuration()),
        "steps.md": "".join(_steps()),
        "options.md": "".join(_options()),
        "exit-codes.md": "".join(_exit_codes()),
        "python.md": "".join(_python()),
    }


def _commands() -> Iterator[str]:
    yield f"# Verbs\n\n{_HEAD}\n`mlopsfw [OPTIONS] VERB …`. These options stand before the verb:\n\n"
    yield "".join(f"- `{name}`: {text}\n" for name, text in OPTIONS.items())
    yield "\nThe [exit codes](exit-codes.md) are the same for all verbs.\n"
    for verb in VERBS:
        command = cli.get_command(click.Context(cli), verb)
        if command is not None:
            yield from _command(command, verb)


def _command(command: click.Command, path: str) -> Iterator[str]:
    with click.Context(command, info_name=f"mlopsfw {path}") as context:
        usage = command.get_usage(context).removeprefix("Usage: ")
        yield f"\n{'#' * (2 + path.count(' '))} `{path}`\n\n{_paragraphs(command.help or '')}\n\n    {' '.join(usage.split())}\n"
        rows = [
            row
            for option in command.get_params(context)
            if (row := option.get_help_record(context)) and row[1] and "--help" not in row[0]
        ]
        if rows:
            yield "\n| option | meaning |\n|---|---|\n"
            yield "".join(f"| `{cell(names)}` | {cell(' '.join(text.split()))} |\n" for names, text in rows)
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                if inner is not None and not inner.hidden:
                    yield from _command(inner, f"{path} {name}")


def _paragraphs(text: str) -> str:
    return inspect.cleandoc(text).replace("\b\n", "")


def _configuration() -> Iterator[str]:
    yield f"# Tables of `mlopsfw.toml`\n\n{_HEAD}\n"
    yield "Beside them stand the [options of plugins](options.md) and of [built-in steps](steps.md). "
    yield "`mlopsfw schema` prints all keys, also those of installed plugins, as a JSON Schema: "
    yield "write `mlopsfw schema > mlopsfw.schema.json` and make `#:schema ./mlopsfw.schema.json` the first line of `mlopsfw.toml`. "
    yield "An editor with Taplo, such as VS Code with Even Better TOML, then completes keys, marks mistakes and shows these texts.\n"
    for title, record in _TABLES.items():
        yield f"\n## `{title}`\n\n{markdown(description(record))}\n"
        yield from _table(record)


def _steps() -> Iterator[str]:
    yield f"# Built-in steps\n\n{_HEAD}\nA step is chosen by `use`, or by the name of its table: `[steps.split]` is the step `split`. Its options stand in the table. "
    yield "Every step also takes the keys of [the pipeline](../pipelines.md): `inputs`, `retries`, `timeout` and the like.\n"
    for name, provider in _bundled("step"):
        yield f"\n## `{name}`\n\n{provider.summary}.\n"
        yield from _wires(provider)
        yield from _table(provider.config)
        for option, hint in get_type_hints(provider.config).items():
            if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
                yield f"\n`{option}`: {description(hint)}\n"
                yield from _table(hint)


def _wires(provider: Any) -> Iterator[str]:
    """Yield the inputs and outputs of a step whose options are the least that it takes."""
    options = _least(provider.config) | _CHECKED.get(provider.name, {})
    with tempfile.TemporaryDirectory() as folder:
        host = FakeHost(Path(folder), "step.reference")
        step = provider.build(msgspec.convert(options, provider.config, strict=False), host)
    inputs = [f"`{each}`" for each in step.inputs] + [f"`{each}` (optional)" for each in step.optional]
    if step.variadic:
        inputs.append("any others")
    yield f"\nInputs: {', '.join(inputs) or 'none'}. Outputs: {', '.join(f'`{each}`' for each in step.outputs)}."
    yield "\n" if step.cacheable else " It runs every time: its point is its effect.\n"


_CHECKED: dict[str, dict[str, Any]] = {
    "gate": {"rules": ["auc > 0"]},
    "ingest": {"path": "x"},
    "monitor": {"start": "2013-03-01", "end": "2013-03-02"},
    "split": {"by": "fraction", "test": 0.2},
}
"""Step → values of options that the step checks."""


def _least(config: Any) -> dict[str, Any]:
    return {
        each.encode_name: _example(each.type)
        for each in msgspec.structs.fields(config)
        if each.default is msgspec.NODEFAULT and each.default_factory is msgspec.NODEFAULT
    }


def _example(kind: Any) -> Any:
    """Return some value of a type, for a step that cannot be built without one."""
    if str(get_origin(kind)) == "typing.Literal":
        return get_args(kind)[0]
    origin = get_origin(kind) or kind
    if origin in (tuple, list):
        return ["x"]
    if origin is dict:
        return {"x": "y"}
    return {str: "x", int: 1, float: 0.5, bool: True}.get(origin, "x")


def _options() -> Iterator[str]:
    yield f"# Options of the bundled plugins\n\n{_HEAD}\n"
    yield "[Roles](../roles/README.md) says how a project chooses a plugin of each kind.\n"
    for kind in KINDS.values():
        if kind.builds and kind.name not in ("step", "component"):
            for name, provider in _bundled(kind.name):
                yield f"\n## `{kind.name}.{name}`\n\n{provider.summary}.\n"
                yield from _table(provider.config)


def _bundled(kind: str) -> Iterator[tuple[str, Any]]:
    plugins = PluginManager(Catalog())
    for name in sorted(claim.name for claim in installed() if claim.kind == kind and claim.distribution == "mlopsfw"):
        yield name, plugins.provider(kind, name)[1]


def _table(config: Any) -> Iterator[str]:
    """Yield the options of a record, with those of the records within it."""
    rows = list(fields_of(config))
    if not rows:
        yield "\nNo options.\n"
        return
    texts, hints = meanings(config), get_type_hints(config, include_extras=True)
    yield "\n| option | type | default | meaning |\n|---|---|---|---|\n"
    for name, _, default in rows:
        yield f"| `{name}` | {cell(_toml(hints[name]))} | {_default(default)} | {texts.get(name, '')} |\n"


def _toml(hint: Any) -> str:
    """Return a type in the words of TOML."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _toml(arguments[0])
    if origin is Literal:
        return " | ".join(json.dumps(each) for each in arguments)
    if origin in (UnionType, Union):
        return " | ".join(dict.fromkeys(_toml(each) for each in arguments if each is not type(None)))
    if origin in (tuple, list, dict):
        return f"table of {_toml(arguments[1])}" if origin is dict else f"array of {_toml(arguments[0])}"
    names = {str: "string", int: "integer", bool: "boolean", float: "number"}
    return names.get(hint, "table" if isinstance(hint, type) and issubclass(hint, msgspec.Struct) else "value")


def _default(text: str) -> str:
    """Return a default as TOML has it."""
    try:
        value = ast.literal_eval(text.strip("`"))
    except (ValueError, SyntaxError):
        return "" if re.match(r"`[A-Z]\w*\(", text) else text  # a record has a table of its own
    if value is None:
        return ""
    if isinstance(value, dict):
        return f"`{{{', '.join(f'{key} = {json.dumps(inner)}' for key, inner in value.items())}}}`"
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _exit_codes() -> Iterator[str]:
    yield f"# Exit codes and errors\n\n{_HEAD}\n"
    yield "| code | meaning |\n|---|---|\n| 0 | done |\n"
    for code in sorted({each.exit_code for each in _errors()}):
        named = [f"`{each.__name__}`" for each in _errors() if each.exit_code == code]
        yield f"| {code} | {', '.join(named)} |\n"
    yield "| 70 | a mistake in mlopsfw: please report it |\n| 130 | interrupted by Ctrl-C; `mlopsfw resume` goes on |\n"
    tree = (errors.__doc__ or "").partition("    MlopsfwError")
    yield f"\nThe errors, as `mlopsfw.errors` has them. Each has a `message`, a `hint` and an `exit_code`:\n\n    MlopsfwError{tree[2].rstrip()}\n"


def _errors() -> list[type[errors.MlopsfwError]]:
    return [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.MlopsfwError)]


def _python() -> Iterator[str]:
    yield f"# Public names of Python\n\n{_HEAD}\n[From Python](../python.md) shows how to use them. Nothing else is public.\n"
    for face in _FACES:
        module = importlib.import_module(face)
        yield f"\n## `{face}`\n\n{(inspect.getdoc(module) or '').partition(chr(10))[0]}\n\n"
        if face in _ELSEWHERE:
            yield f"[Its records and protocols](../{_ELSEWHERE[face]}).\n\n"
        for name in sorted(module.__all__, key=str.lower):
            yield _name(name, getattr(module, name), full=face in _WHOLE)
    for path, names in _inner_names().items():
        module = importlib.import_module(path)
        yield f"\n## `{path}`\n\n{(inspect.getdoc(module) or '').partition(chr(10))[0]}\n\n"
        for name in names:
            yield _name(name, getattr(module, name), full=True)


def _inner_names() -> dict[str, list[str]]:
    """Return the public names of each module inside a package, as the page for plugin authors lists them: a test compares that list with the code."""
    text = (PAGES.parent / "writing-plugins.md").read_text(encoding="utf-8")
    table = text.partition("Of the packages, these names inside modules are public too:")[2].partition("\n\nA ")[0]
    found: dict[str, list[str]] = {}
    for path, name in re.findall(r"`((?:features|capturelog)\.\w+)\.(\w+)`", table):
        found.setdefault(f"mlopsfw.{path}", []).append(name)
    return {path: sorted(found[path], key=str.lower) for path in sorted(found)}


def _name(name: str, value: Any, *, full: bool) -> str:
    own = callable(value) and get_origin(value) is None and str(getattr(value, "__module__", "")).startswith("mlopsfw")
    line = (inspect.getdoc(value) or "").partition("\n")[0] if own else ""
    if inspect.isfunction(value) and not value.__module__.startswith("mlopsfw"):
        return f"- `{name}`: that of Python's own module `{value.__module__}`.\n"
    if full and inspect.isfunction(value):
        return f"\n### `{name}{signature(value)}`\n\n{markdown(inspect.getdoc(value) or '')}\n"
    if full and inspect.isclass(value):
        return f"\n### `{name}`\n\n{''.join(described(value))}\n"
    return f"- `{name}`{f': {line}' if line else ''}\n"


if __name__ == "__main__":
    PAGES.mkdir(exist_ok=True)
    for file, text in pages().items():
        (PAGES / file).write_text(text, encoding="utf-8")
