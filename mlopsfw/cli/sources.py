"""The options of commands that read sources elsewhere, and what they mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mlopsfw.errors import UsageError

if TYPE_CHECKING:
    from mlopsfw.datasets.outside import Outside

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--sheet", default="", metavar="NAME", help="Of an Excel workbook, which sheet."),
    click.option("--at", default="", metavar="VERSION", help="Of a Delta table the version, of an Iceberg table the snapshot."),
    click.option("--header", "headers", multiple=True, metavar="NAME=REFERENCE", help="For an http(s) URL, such as Authorization=env:NAME."),
    click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="For a bucket, such as aws_region=eu-west-1; secrets as env:NAME."),
    click.option("--timeout", default=30.0, show_default=True, metavar="SECONDS", help="Silence after which a connection counts as dropped."),
)  # fmt: skip


def outside_options(command: F) -> F:
    """Give a command the options of sources elsewhere."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def outside_of(*, sheet: str, at: str, headers: tuple[str, ...], options: tuple[str, ...], timeout: float) -> Outside:
    """Return what the options mean. A URL that a person types may lead into his own network."""
    from mlopsfw.datasets.outside import Outside

    return Outside(
        sheet=sheet,
        at=at,
        headers=_pairs("--header", headers),
        options=_pairs("--option", options),
        allow_private=True,
        timeout=timeout,
    )


def _pairs(option: str, texts: tuple[str, ...]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    if any(not (equals and name) for name, equals, _ in pairs):
        raise UsageError(f"{option} is NAME=VALUE", hint="Such as --header Authorization=env:FLIGHTS_AUTH.")
    return {name: value for name, _, value in pairs}
