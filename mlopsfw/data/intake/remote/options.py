"""How a source that is no plain file is read: which sheet or version of it, and how a server or a bucket is reached."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import msgspec

from mlopsfw.kernel.base.errors import ConfigError, UsageError
from mlopsfw.kernel.config.secrets import credential_in, is_reference

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.host import Secrets

HTTP = ("http", "https")
BUCKETS = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss")
_URL = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_TELLING = re.compile(
    r"sig(nature)?$|token|secret|passw|credential|api_?key|access_?key$|account_?key|^sas|auth", re.IGNORECASE
)


class Outside(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How sources that are no plain files are read. The step `ingest` takes them as parameters, `data add` as options.

    Args:
        sheet: Of an Excel workbook, the sheet; empty for the only one.
        at: Of a Delta table, the version; of an Iceberg table, the snapshot; empty for the newest.
        headers: Name → reference to the value (`env:FLIGHTS_AUTH`), sent to the host of an http(s) URL and to no other.
        options: Of a bucket, as in `[storage.object.options]` (`aws_region`, `aws_endpoint`, …); secrets by reference. Empty: the environment's.
        allow_private: Whether an http(s) URL may lead to an address that is not on the public internet.
        timeout: Seconds of silence after which a connection counts as dropped.
    """

    sheet: str = ""
    at: str = ""
    headers: dict[str, str] = {}
    options: dict[str, str] = {}
    allow_private: bool = False
    timeout: float = 30.0


def scheme_of(place: Path | str) -> str:
    """Return the scheme of a URL in small letters, empty for a path."""
    found = _URL.match(place) if isinstance(place, str) else None
    return found[1].lower() if found else ""


def place_of(text: str) -> Path | str:
    """Return what a user wrote as a source: a URL, or a reference to one, as it is; else the path."""
    return text if scheme_of(text) or is_reference(text) else Path(text)


def address(place: str, secrets: Secrets) -> str:
    """Return the whole URL that `place` is or refers to.

    Raises:
        UsageError: It is none that can be read, or holds a credential in clear.
        ConfigError: The reference leads nowhere.
    """
    whole = place if scheme_of(place) else secrets.resolve(place)
    known = (*HTTP, *BUCKETS)
    if scheme_of(whole) not in known:
        raise UsageError(
            f"{shown(whole) if whole == place else place} is not a supported URL",
            hint=f"Write a path, or one of {', '.join(f'{scheme}://' for scheme in known)}.",
        )
    parts = urlsplit(whole)
    open_text = whole == place  # what a reference holds is kept nowhere
    secret = parts.password or (parts.scheme in HTTP and parts.username)
    told = open_text and (credential_in(place) or any(_TELLING.search(name) for name, _ in parse_qsl(parts.query)))
    if secret or told:
        raise UsageError(
            f"{shown(whole)}: the URL holds a credential",
            hint="Put a signed URL into a variable, and write env:NAME. Send a token in a header: Authorization=env:NAME.",
        )
    if parts.scheme in HTTP:
        _check(whole, place)
    return whole


def _check(url: str, place: str) -> None:
    from mlopsfw.http import check_url  # the modules of HTTP, for a URL alone

    try:
        check_url(url)
    except ConfigError as error:
        if url == place:
            raise
        raise UsageError(f"{place} is not a URL that mlopsfw can read", hint=error.hint) from None


def shown(url: str) -> str:
    """Return a URL without user, password and query, for events, logs and errors."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2] if parts.scheme in HTTP else parts.netloc  # abfss://container@account
    return f"{parts.scheme}://{place}{parts.path}"


def harmless_query(url: str) -> list[tuple[str, str]]:
    """Return what a URL's query asks for, less what looks like a credential."""
    return [(name, value) for name, value in parse_qsl(urlsplit(url).query) if not _TELLING.search(name)]


def resolved_headers(headers: Mapping[str, str], secrets: Secrets) -> dict[str, str]:
    """Return headers with their values. Raise `ConfigError` where a value is no reference, or cannot be sent."""
    return {name: _header(name, value, secrets) for name, value in headers.items()}


def _header(name: str, reference: str, secrets: Secrets) -> str:
    value = secrets.resolve(reference) if is_reference(reference) else ""
    if not is_reference(reference):
        raise ConfigError(
            f"the header {name} contains its value in plain text", hint=f"Write {name}=env:NAME or file:/path."
        )
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or not re.fullmatch(r"[\t\x20-\x7e]+", value):
        raise ConfigError(
            f"the header {name!r} of {reference} cannot be sent", hint="Write one line of ASCII that is not empty."
        )
    return value


def resolved_options(options: Mapping[str, str], secrets: Secrets) -> dict[str, str]:
    """Return a bucket's options with their values. Raise `ConfigError` where a secret stands in clear."""
    for name, value in options.items():
        if _TELLING.search(name) and not is_reference(value):
            raise ConfigError(
                f"the option {name} contains a secret in plain text", hint=f"Write {name}=env:NAME or file:/path."
            )
    return {name: secrets.reveal(value) for name, value in options.items()}
