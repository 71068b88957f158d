"""The options of commands that read files and remote sources."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.roles.reading import ReadOptions
from mlopsfw.kernel.roles.source import SourceOptions

R = TypeVar("R")

sheet_option = click.option("--sheet", default="", metavar="NAME", help="The sheet of an Excel workbook.")

_OPTIONS = (
    sheet_option,
    click.option("--at", default="", metavar="VERSION", help="The version of a Delta table, or the snapshot of an Iceberg table."),
    click.option("--header", "headers", multiple=True, metavar="NAME=REFERENCE", help="A header for an http(s) URL, such as Authorization=env:NAME. May be repeated."),
    click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="An option of a bucket or of a plugin's source, such as aws_region=eu-west-1; secrets as env:NAME. May be repeated."),
    click.option("--timeout", default=SourceOptions().timeout, show_default=True, metavar="SECONDS", help="Drop a connection that is silent for this long."),
)  # fmt: skip

_CSV = (
    click.option("--null", multiple=True, metavar="TEXT", help="A text that means a missing value. May be repeated."),
    click.option("--separator", default="", metavar="CHAR", help="The separator of fields in CSV."),
    click.option("--encoding", default="utf-8", show_default=True, help="The encoding of CSV files."),
    click.option("--type", "types", multiple=True, metavar="COLUMN=TYPE", help="The type of a column, such as zip=string. May be repeated."),
)  # fmt: skip


def csv_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add the options of CSV files to a command, which takes them as one argument `csv`."""

    @functools.wraps(command)
    def together(*args: Any, **given: Any) -> R:
        own = {name: given.pop(name) for name in ("null", "separator", "encoding", "types")}
        return command(*args, csv=_csv(**own), **given)

    for option in reversed(_CSV):
        together = option(together)
    return together


def _csv(*, null: tuple[str, ...], separator: str, encoding: str, types: tuple[str, ...]) -> ReadOptions:
    pairs = [text.partition("=") for text in types]
    if wrong := [name for name, equals, kind in pairs if not (equals and kind)]:
        raise UsageError(f"--type {wrong[0]} names no type", hint="Write --type COLUMN=TYPE, such as zip=string.")
    chosen = {name: kind for name, _, kind in pairs}
    return ReadOptions(null=null, separator=separator.replace("\\t", "\t"), encoding=encoding, types=chosen)


def outside_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add the options of remote sources to a command, which takes them as one argument `outside`."""

    @functools.wraps(command)
    def together(*args: Any, **given: Any) -> R:
        own = {name: given.pop(name) for name in SourceOptions.__struct_fields__ if name in given}
        return command(*args, outside=_outside(**own), **given)

    for option in reversed(_OPTIONS):
        together = option(together)
    return together


def _outside(*, headers: tuple[str, ...], options: tuple[str, ...], **rest: Any) -> SourceOptions:
    sent, chosen = _pairs("--header", headers), _pairs("--option", options)
    # a URL that a person types may lead into that person's own network
    return SourceOptions(headers=sent, options=chosen, allow_private=True, **rest)


def _pairs(option: str, texts: tuple[str, ...]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    if any(not (equals and name) for name, equals, _ in pairs):
        raise UsageError(f"{option} is NAME=VALUE", hint="Such as --header Authorization=env:FLIGHTS_AUTH.")
    return {name: value for name, _, value in pairs}
