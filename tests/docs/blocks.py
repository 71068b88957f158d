"""The code blocks of the documentation: where each stands, its language, why it does not run where that is so, and how to run it."""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = {"README.md": ROOT / "README.md"} | {file.name: file for file in sorted((ROOT / "docs").glob("*.md"))}
ROLES = {f"roles/{file.name}": file for file in sorted((ROOT / "docs" / "roles").glob("*.md"))}
"""Pages that are written from the code: their blocks are Python without a fence."""

RUN = ("core.md", "core-online.md", "core-profile.md", "contracts.md", "data.md", "drift.md", "filesets.md", "privacy.md", "python.md")  # fmt: skip
"""Pages that run in test_pages_run.py."""
STORIES = (
    "concerns.md",
    "features.md",
    "installation.md",
    "lineage.md",
    "monitoring.md",
    "pipelines.md",
    "runs.md",
    "serving.md",
    "training.md",
)
"""Pages about the model `delay`, which run in test_stories.py."""


class Block(NamedTuple):
    """One code block.

    Args:
        page: The page's file name.
        line: Where it begins.
        language: As the fence says it; empty for a block that is only indented.
        text: What is in it.
        reason: Why it does not run: the words of `<!-- not run: … -->` above it.
        command: Whether `<!-- command … -->` stands above it.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str = ""
    command: bool = False

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str:
        """The file that the block is, which its first line names in a comment; empty for a part of one."""
        match = re.match(r"# (\S+\.(?:py|toml))\n", self.text)
        return match[1] if match else ""


def blocks_of(page: str, language: str = "") -> list[Block]:
    """Return the blocks of a page in order, those of one language where it is named."""
    every = list(_blocks(page))
    return [block for block in every if not language or block.language == language]


def _blocks(page: str) -> Iterator[Block]:
    above = ""
    for token in MarkdownIt().parse((PAGES | ROLES)[page].read_text(encoding="utf-8")):
        if token.type in ("fence", "code_block"):
            reason = re.fullmatch(r"<!-- not run: (.+) -->", above.strip())
            command = bool(re.fullmatch(r"<!-- command .+ -->", above.strip()))
            line = token.map[0] + 1
            yield Block(page, line, token.info.strip(), token.content, reason[1] if reason else "", command)
        above = token.content if token.type == "html_block" else ""


def commands(text: str) -> list[list[str]]:
    """Return the command lines of a block of shell, without comments, as words."""
    found: list[list[str]] = []
    open_line = ""
    for line in re.sub(r"\\\n", " ", text).splitlines():
        open_line += f"{line}\n"
        try:
            found += list(_commands(open_line))
        except ValueError:  # a quotation goes on in the next line
            continue
        open_line = ""
    if open_line:
        raise ValueError(f"a quotation does not end: {open_line}")
    return found


def _commands(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set("|&;"):
            if words:
                yield words
            words = []
        else:
            words.append(word)


def inline(page: str) -> list[list[str]]:
    """Return the command lines of mlopsfw in the sentences of a page."""
    return [words for code in _codes(page) if code.startswith("mlopsfw ") for words in commands(code)]


def names(page: str) -> list[str]:
    """Return the names of Python in the sentences of a page that begin with a package of ours."""
    name = re.compile(r"(?<![\w./:\[-])mlopsfw(?:_\w+)?(?:\.\w+)+(?!\.v1)")
    every = [found for code in _codes(page) for found in name.findall(code)]
    return [each for each in every if not each.endswith((".toml", ".json", ".v1"))]


def _codes(page: str) -> list[str]:
    tokens = MarkdownIt().enable("table").parse((PAGES | ROLES)[page].read_text(encoding="utf-8"))
    return [child.content for token in tokens for child in token.children or () if child.type == "code_inline"]


def is_name(dotted: str) -> bool:
    """Return whether a module, or something in one, is called so."""
    module, _, rest = dotted.partition(".")
    value = importlib.import_module(module)
    for part in rest.split("."):
        if not hasattr(value, part) and inspect.ismodule(value):
            with contextlib.suppress(ImportError):
                importlib.import_module(f"{value.__name__}.{part}")
        if not hasattr(value, part):
            return False
        value = getattr(value, part)
    return True


def say(words: list[str]) -> str:
    """Run a command of mlopsfw in this process, with a yes to its question; return what it prints. It has to succeed."""
    from mlopsfw.cli import run

    printed, failed = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(failed),
    ):
        patch.setattr("sys.stdin", io.StringIO("y\n"))
        code = run(words[1:])
    assert code == 0, (" ".join(words), printed.getvalue(), failed.getvalue())
    return printed.getvalue()


def complaint(words: list[str]) -> str:
    """Return what the command line of mlopsfw would say against words: an unknown verb, option or choice, or one too many."""
    from mlopsfw.cli.root import cli

    try:
        _parse(cli, click.Context(cli), words[1:])
    except click.UsageError as error:
        return error.format_message()
    return ""


def _parse(command: click.Command, context: click.Context, words: list[str]) -> None:
    values, rest, _ = command.make_parser(context).parse_args(list(words))
    for parameter in command.params:
        given = values.get(parameter.name)
        if isinstance(parameter.type, click.Choice) and isinstance(given, str):
            parameter.type_cast_value(context, given)
    if not isinstance(command, click.Group):
        if rest:
            raise click.UsageError(f"{rest[0]!r} is one too many")
        return
    if rest:
        _, inner, left = command.resolve_command(context, rest)
        assert inner is not None
        _parse(inner, click.Context(inner, parent=context), left)


def missing_imports(text: str) -> list[str]:
    """Return the imports of a block of Python that lead nowhere. Raise `SyntaxError` where it is none."""
    missing = []
    for node in ast.walk(ast.parse(text)):
        wanted = [(alias.name, "") for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            wanted = [(node.module or "", alias.name) for alias in node.names]
        missing += [f"{module} {name}".strip() for module, name in wanted if not _is_there(module, name)]
    return missing


def _is_there(module: str, name: str) -> bool:
    try:
        imported = importlib.import_module(module)
        return not name or hasattr(imported, name) or bool(importlib.import_module(f"{module}.{name}"))
    except ImportError:
        return False
