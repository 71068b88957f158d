"""The options of commands that read files and sources elsewhere, and what they mean."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from mlopsfw.data.intake.csv.options import CsvOptions
from mlopsfw.data.intake.remote.options import Outside
from mlopsfw.kernel.base.errors import UsageError

R = TypeVar("R")

sheet_option = click.option("--sheet", default="", metavar="NAME", help="Of an Excel workbook, which sheet.")

_OPTIONS = (
    sheet_option,
    click.option("--at", default="", metavar="VERSION", help="Of a Delta table the version, of an Iceberg table the snapshot."),
    click.option("--header", "headers", multiple=True, metavar="NAME=REFERENCE", help="For an http(s) URL, such as Authorization=env:NAME."),
    click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="For a bucket, such as aws_region=eu-west-1; secrets as env:NAME."),
    click.option("--timeout", default=Outside().timeout, show_default=True, metavar="SECONDS", help="Silence after which a connection counts as dropped."),
)  # fmt: skip

_CSV = (
    click.option("--null", multiple=True, metavar="TEXT", help="In CSV, a text that means no value. May be repeated."),
    click.option("--separator", default="", metavar="CHAR", help="In CSV, what stands between fields."),
    click.option("--encoding", default="utf-8", show_default=True, help="Of CSV files."),
    click.option("--type", "types", multiple=True, metavar="COLUMN=TYPE", help="In CSV, a column's type, such as zip=string."),
)  # fmt: skip


def csv_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command the options of CSV files; it takes them together, as `csv`."""

    @functools.wraps(command)
    def together(*args: Any, **given: Any) -> R:
        own = {name: given.pop(name) for name in ("null", "separator", "encoding", "types")}
        return command(*args, csv=_csv(**own), **given)

    for option in reversed(_CSV):
        together = option(together)
    return together


def _csv(*, null: tuple[str, ...], separator: str, encoding: str, types: tuple[str, ...]) -> CsvOptions:
    pairs = [text.partition("=") for text in types]
    if wrong := [name for name, equals, kind in pairs if not (equals and kind)]:
        raise UsageError(f"--type {wrong[0]} names no type", hint="Write --type COLUMN=TYPE, such as zip=string.")
    chosen = {name: kind for name, _, kind in pairs}
    return CsvOptions(null=null, separator=separator.replace("\\t", "\t"), encoding=encoding, types=chosen)


def outside_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command the options of sources elsewhere; it takes them together, as `outside`."""

    @functools.wraps(command)
    def together(*args: Any, **given: Any) -> R:
        own = {name: given.pop(name) for name in Outside.__struct_fields__ if name in given}
        return command(*args, outside=_outside(**own), **given)

    for option in reversed(_OPTIONS):
        together = option(together)
    return together


def _outside(*, headers: tuple[str, ...], options: tuple[str, ...], **rest: Any) -> Outside:
    sent, chosen = _pairs("--header", headers), _pairs("--option", options)
    # a URL that a person types may lead into his own network
    return Outside(headers=sent, options=chosen, allow_private=True, **rest)


def _pairs(option: str, texts: tuple[str, ...]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    if any(not (equals and name) for name, equals, _ in pairs):
        raise UsageError(f"{option} is NAME=VALUE", hint="Such as --header Authorization=env:FLIGHTS_AUTH.")
    return {name: value for name, _, value in pairs}
