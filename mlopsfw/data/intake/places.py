"""What a user names as a source: a path, a URL, a reference to one, a query of a database. Credentials stay out of all that is kept or shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from msgspec.structs import replace

from mlopsfw.kernel.base.errors import ConfigError, DataError, UsageError
from mlopsfw.kernel.roles.host import Secrets
from mlopsfw.kernel.roles.source import SourceOptions, SourceRequest
from mlopsfw.privacy.credentials import credential_in

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_TELLING = re.compile(
    r"sig(nature)?$|token|secret|passw|credential|api_?key|access_?key$|account_?key|^sas|auth", re.IGNORECASE
)


@dataclass(frozen=True)
class Query:
    """What to read of a database, as a user says it.

    Args:
        url: The database's URL (`postgresql://user@host:5432/db`, `sqlite:///file.db`), or a reference to it (`env:NAME`), which is
            where a password belongs.
        query: What to read.
        table: Instead of `query`: a table of which all rows are read.
    """

    url: str
    query: str = ""
    table: str = ""


def scheme_of(place: Path | str) -> str:
    """Return the scheme of a URL in small letters, empty for a path."""
    match = _URL.match(place) if isinstance(place, str) else None
    return match[1].lower() if match else ""


def place_of(text: str, is_reference: Callable[[str], bool]) -> Path | str:
    """Return what a user wrote as a source: a URL, or a reference to one, as it is; else the path."""
    return text if scheme_of(text) or is_reference(text) else Path(text)


def url_of(named: str, secrets: Secrets) -> str:
    """Return the whole URL that `named` is or refers to.

    Raises:
        UsageError: It contains a credential in plain text.
        ConfigError: The reference leads nowhere.
        DataError: It is no URL. The error shows no part of it.
    """
    if not scheme_of(named):
        return _readable(secrets.reveal(named))
    if urlsplit(_readable(named)).password or credential_in(named, secrets.is_reference):
        raise _credential(named)
    return named


def _readable(url: str) -> str:
    """Return a URL that the library can take apart: its own words would show a part, such as half a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        hint = "Percent-encode what stands for itself, also in a password: / as %2F, # as %23, ? as %3F, @ as %40."
        raise DataError("the URL of the source cannot be read", hint=hint) from None
    return url


def check_credentials(request: SourceRequest, *, user: bool = False) -> None:
    """Raise `UsageError` where the URL of a file contains a credential: in plain text, or before the host, where messages would repeat it.

    Args:
        request: What is asked for.
        user: Whether a name may stand before the host, such as the container of `abfss://container@account`.
    """
    parts = urlsplit(request.url)
    plain = request.url == request.named  # nothing keeps what a reference holds
    if parts.password or (parts.username and not user) or (plain and any(map(_tells, parse_qsl(parts.query)))):
        raise _credential(request.url)


def _tells(pair: tuple[str, str]) -> bool:
    return bool(_TELLING.search(pair[0]))


def _credential(url: str) -> UsageError:
    parts = urlsplit(url)
    return UsageError(
        f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}: the URL contains a credential",
        hint="Put the whole URL into a variable, and write env:NAME. Send a token in a header: Authorization=env:NAME.",
    )


def shown(url: str) -> str:
    """Return a URL without password and query, for events, logs and errors."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{host if ':' in user else user + at + host}{parts.path}"


def name_of(request: SourceRequest) -> str:
    """Return what the user wrote, without what may be secret: for errors."""
    return shown(request.named) if scheme_of(request.named) else request.named


def harmless_query(url: str) -> list[tuple[str, str]]:
    """Return what a URL's query asks for, less what looks like a credential."""
    return [pair for pair in parse_qsl(urlsplit(url).query) if not _tells(pair)]


def resolved(options: SourceOptions, secrets: Secrets) -> SourceOptions:
    """Return the options with the values that references lead to.

    Raises:
        ConfigError: A reference leads nowhere, a secret stands in plain text, or a header cannot be sent.
    """
    headers = {name: _header(name, value, secrets) for name, value in options.headers.items()}
    return replace(options, headers=headers, options=_revealed(options.options, secrets))


def _header(name: str, reference: str, secrets: Secrets) -> str:
    if not secrets.is_reference(reference):
        raise ConfigError(
            f"the header {name} contains its value in plain text", hint=f"Write {name}=env:NAME or file:/path."
        )
    value = secrets.resolve(reference)
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or not re.fullmatch(r"[\t\x20-\x7e]+", value):
        raise ConfigError(
            f"the header {name!r} of {reference} cannot be sent", hint="Write one line of ASCII that is not empty."
        )
    return value


def _revealed(options: Mapping[str, str], secrets: Secrets) -> dict[str, str]:
    for name, value in options.items():
        if _TELLING.search(name) and not secrets.is_reference(value):
            raise ConfigError(
                f"the option {name} contains a secret in plain text", hint=f"Write {name}=env:NAME or file:/path."
            )
    return {name: secrets.reveal(value) for name, value in options.items()}
