"""Open the project, and print JSON and tables, for every verb."""

from __future__ import annotations

import functools
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TextIO, TypeVar

import click

from mlopsfw.pages.values import number_text
from mlopsfw.pipeline.run.terminal import can_write

if TYPE_CHECKING:
    from mlopsfw.data.intake.formats import Formats
    from mlopsfw.kernel.roles.monitoring import Monitor
    from mlopsfw.project.facade import Project

P = ParamSpec("P")
R = TypeVar("R")

_OBEYED = re.compile(r"[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What JSON may hold as it is, and a terminal obeys: control characters, and marks of the direction of writing."""
_DOCUMENTS = "mlopsfw.documents"  # in click's context: where documents go while standard output is set aside


def json_option_with(text: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Return the option `--json` with this help. With it, standard output has what the verb emits and nothing else."""

    def decorate(verb: Callable[..., R]) -> Callable[..., R]:
        @functools.wraps(verb)
        def call(*args: Any, **kwargs: Any) -> R:
            if kwargs["as_json"]:
                keep_stdout_for_documents()
            return verb(*args, **kwargs)

        return click.option("--json", "as_json", is_flag=True, help=text)(call)

    return decorate


json_option = json_option_with("Print one JSON document instead of a table.")


def keep_stdout_for_documents() -> None:
    """Until the command ends, let standard output have what `document` prints; what plugins and steps print goes to standard error."""
    root = click.get_current_context().find_root()
    if _DOCUMENTS not in root.meta:
        root.meta[_DOCUMENTS] = root.with_resource(stdout_on_stderr())


@contextmanager
def stdout_on_stderr() -> Iterator[TextIO]:
    """Within the block, what is printed goes to standard error, from C too. Yield what standard output was."""
    before = sys.stdout
    if (_descriptor(before), _descriptor(sys.stderr)) != (1, 2):  # streams of another program, or closed ones
        with redirect_stdout(sys.stderr):
            yield before
        return
    before.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    stream = open(kept, "w", encoding=before.encoding, errors=before.errors, closefd=False)  # noqa: SIM115
    try:
        with redirect_stdout(sys.stderr):
            yield stream
    finally:
        with suppress(BrokenPipeError):  # the reader is gone; the write that failed has said so
            stream.close()
        os.dup2(kept, 1)
        os.close(kept)


def _descriptor(stream: TextIO | None) -> int:
    try:
        return stream.fileno() if stream else -1
    except (OSError, ValueError):
        return -1


def _documents() -> TextIO:
    context = click.get_current_context(silent=True)
    kept: TextIO | None = context.meta.get(_DOCUMENTS) if context else None
    return kept or sys.stdout


def document(text: str, *, nl: bool = True) -> None:
    """Print JSON on standard output. What a terminal would obey is escaped, and all but ASCII where the encoding lacks a character."""
    stream = _documents()
    text = _OBEYED.sub(lambda match: json.dumps(match[0])[1:-1], text)
    if not can_write(text, stream):
        text = re.sub(r"[^\x00-\x7f]+", lambda match: json.dumps(match[0])[1:-1], text)
    click.echo(text, file=stream, nl=nl)


def open_project(context: click.Context, *overrides: str) -> Project:
    """Open the project that the global options name, and close it when the command ends. Further overrides, as of `--set`, open it anew."""
    from mlopsfw.project.facade import Project

    root = context.find_root()
    options: dict[str, Any] = root.obj or {}
    if overrides:
        options["overrides"] = (*options.get("overrides", ()), *overrides)
    if overrides or "opened" not in options:
        options["opened"] = root.with_resource(
            Project.open(options.get("project"), env=options.get("env"), overrides=options.get("overrides", ()))
        )
        root.obj = options
    project: Project = options["opened"]
    return project


def disabled_plugins(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what `[plugins] disabled` lists, in the project that the command line names; nothing outside a project.

    Raise `ConfigError` where the configuration cannot be read: what it disables is not known.
    """
    from mlopsfw.kernel.base.errors import UsageError
    from mlopsfw.project.config import find_project, load_config

    named = options.get("project")
    try:
        file = find_project(Path(named) if named else None)
    except UsageError:
        return ()
    return load_config(file, env=options.get("env"), overrides=options.get("overrides") or ()).disabled


def open_formats(context: click.Context) -> Formats:
    """Return the formats of the project, or all installed formats if there is no project to open."""
    from mlopsfw.kernel.base.errors import UsageError
    from mlopsfw.kernel.config.model import ProjectConfig
    from mlopsfw.project.facade import Project

    try:
        return open_project(context).providers.formats
    except UsageError:
        return Project.open(config=ProjectConfig(name="project")).providers.formats


def open_monitor(use: str, options: Mapping[str, Any]) -> Monitor:
    """Return a monitor with these options; it needs no project."""
    from pathlib import Path

    from mlopsfw.kernel.config.model import ProjectConfig, Selection
    from mlopsfw.project.facade import Project

    chosen = Selection(use=use, options=dict(options), key="monitor.0")
    return Project(Path.cwd(), ProjectConfig(name=use, selected={"monitor": (chosen,)})).providers.monitor(use)


def pass_project(verb: Callable[..., R]) -> Callable[..., R]:
    """Pass the project to `verb` as its first argument."""

    @click.pass_context
    @functools.wraps(verb)
    def call(context: click.Context, /, *args: Any, **kwargs: Any) -> R:
        return verb(open_project(context), *args, **kwargs)

    return call


def pass_snapshot(verb: Callable[..., R]) -> Callable[..., R]:
    """Pass the project as it is now to `verb`, which changes nothing: the ledger is read from the index."""

    @click.pass_context
    @functools.wraps(verb)
    def call(context: click.Context, /, *args: Any, **kwargs: Any) -> R:
        project = open_project(context)
        with project.index.pinned():
            return verb(project, *args, **kwargs)

    return call


def emit_json(value: Any) -> None:
    """Print one JSON document. Records of msgspec and paths are encoded too; infinity and NaN become texts such as `"inf"`.

    RFC 8259 has no such numbers, and null means a missing value.
    """
    import msgspec

    plain = _finite(msgspec.to_builtins(value, enc_hook=str))
    document(json.dumps(plain, indent=2 if _documents().isatty() else None, allow_nan=False, ensure_ascii=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def table(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str] | None = None, *, empty: str = "Nothing yet."
) -> None:
    """Print rows as an aligned table with numbers to the right, or `empty` if there are no rows."""
    listed = list(rows)
    if not listed:
        click.echo(empty)
        return
    names = list(columns or listed[0])
    heads = [printable(name) for name in names]
    cells = [[_cell(row.get(name)) for name in names] for row in listed]
    widths = [max(len(head), *(len(line[i]) for line in cells)) for i, head in enumerate(heads)]
    right = [all(isinstance(row.get(name), int | float) for row in listed) for name in names]
    padded = [_pad(head, width, side) for head, width, side in zip(heads, widths, right, strict=True)]
    padded[-1] = padded[-1].rstrip()
    click.echo("  ".join(click.style(head, bold=True) for head in padded))
    for line in cells:
        click.echo("  ".join(_pad(c, w, r) for c, w, r in zip(line, widths, right, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    return printable(str(value))


def printable(text: str) -> str:
    """Return `text` with its control characters escaped, so that names and categories cannot control a terminal."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _pad(text: str, width: int, right: bool) -> str:  # noqa: FBT001 - one of two sides
    return text.rjust(width) if right else text.ljust(width)
