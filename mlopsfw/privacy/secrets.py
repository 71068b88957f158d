"""Secret references: `env:NAME`, `file:/path`, and `SCHEME:TARGET` for the secrets of a store, such as `vault:`.

The value is read at use and kept nowhere. An empty one is refused, for every use.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

from mlopsfw.kernel.base.errors import ConfigError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.roles.names import KINDS
from mlopsfw.kernel.roles.secrets import SecretStore

LOCAL = KINDS["secrets"].reserved
"""The schemes that mlopsfw reads itself."""

LEAST_TOKEN = 16
"""Characters that a bearer token which clients must present has at least."""

_SCHEME = re.compile(r"([a-z][a-z0-9-]*):(?!//)\S")

_LONGEST = 1 << 16  # bytes of a secret


class SecretResolver:
    """Resolves references.

    Args:
        root: The project's folder: relative files are relative to it.
        stores: Scheme → store, besides `env` and `file`.
    """

    def __init__(self, root: Path, stores: Mapping[str, SecretStore] | None = None) -> None:
        self._local: dict[str, SecretStore] = {"env": _Environment(), "file": _Files(root)}
        self._stores = {} if stores is None else stores

    def is_reference(self, text: str) -> bool:
        """Return whether `text` reads as a reference."""
        return is_reference(text, self._stores)

    def resolve(self, reference: str) -> str:
        """Return the secret's value.

        Raises:
            ConfigError: It is no reference, leads nowhere, or the value is empty, only white space, or no text. The
                error names the reference, never a value.
            SecretUnavailable, PluginError: As `mlopsfw.roles.Secrets` says.
        """
        scheme, _, target = reference.partition(":")
        if target and scheme in self._local:
            return self._local[scheme].read(target)
        if target and self.is_reference(reference):
            return self._stores[scheme].read(target)
        hint = f"Write env:NAME or file:/path, never the secret itself.{scheme_hint(reference, self._stores)}"
        raise ConfigError("a secret must be a reference", hint=hint)

    def reveal(self, text: str) -> str:
        """Return the secret that `text` refers to, or `text` itself where it is no reference."""
        return self.resolve(text) if self.is_reference(text) else text

    def bearer_token(self, reference: str, *, key: str, issued_here: bool = False) -> str:
        """Return the bearer token that a reference leads to, as `mlopsfw.roles.Secrets` says."""
        least = LEAST_TOKEN if issued_here else 1
        return checked_token(self.resolve(reference), reference, key=key, least=least)


class _Environment:
    """The variables of this process."""

    def read(self, target: str) -> str:
        where = f"the environment variable {target}"
        try:
            value = os.environ[target]
        except (KeyError, ValueError):
            raise ConfigError(f"{where} is not set", hint=f"Run: export {target}=…") from None
        return _held(value, where)


class _Files:
    """Files, each with one secret. Relative ones are relative to `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, target: str) -> str:
        where = f"the secret file {target}"
        try:
            with (self._root / target).open("rb") as file:
                data = file.read(_LONGEST + 1)
        except OSError as error:
            raise ConfigError(f"{where} cannot be read: {error.strerror}") from None
        except ValueError as error:  # such as a NUL in its name
            raise ConfigError(f"the secret file {target!r} cannot be read: {error}") from None
        if len(data) > _LONGEST:  # another file
            raise ConfigError(f"{where} has more than {_LONGEST:,} bytes", hint="Name the right file.")
        return _held(data.decode(errors="surrogateescape").rstrip("\r\n"), where)


def _held(value: str, where: str) -> str:
    if problem := secret_problem(value):
        raise ConfigError(f"{where} {problem}", hint="Set it to UTF-8 text, or remove the key that refers to it.")
    return value


def secret_problem(value: str) -> str:
    """Return why a value is no secret, without showing it; empty where it is one."""
    if not value.strip():
        return "holds no secret: it is empty or only white space"
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        return "is not UTF-8"
    return f"has more than {_LONGEST:,} characters" if len(value) > _LONGEST else ""


def checked_token(value: str, reference: str, *, key: str, least: int = 1) -> str:
    """Return a bearer token as it is.

    Args:
        value: The token.
        reference: Where it came from; the error names it.
        key: The configuration's key.
        least: How many characters it must have: `LEAST_TOKEN` where we ask clients for it, any number where another
            server issued it.

    Raises:
        ConfigError: It is shorter, repeats one character, or has characters that no header carries.
    """
    problem = ""
    if not (value.isascii() and value.isprintable()) or " " in value:
        problem = "has characters that a header cannot carry (it carries printable ASCII without spaces)"
    elif len(value) < least:
        problem = f"is too short: it has {len(value)} characters and needs at least {least}"
    elif least > 1 and len(set(value)) == 1:
        problem = "repeats one character"
    if problem:
        hint = 'Make one: python -c "import secrets; print(secrets.token_urlsafe(32))"'
        raise ConfigError(f"the token of {reference} {problem}", key=key, hint=hint)
    return value


def is_reference(text: str, stores: Container[str] = ()) -> bool:
    """Return whether `text` reads as a secret reference.

    Args:
        text: What an option says.
        stores: The schemes of the secret stores, besides `env` and `file`. They are looked at only if need be.
    """
    scheme, colon, _ = text.partition(":")
    return bool(colon) and (scheme in LOCAL or (bool(_SCHEME.match(text)) and scheme in stores))


def scheme_hint(text: str, stores: Iterable[str]) -> str:
    """Return what to write instead of a scheme that no store has; nothing of `text`, which may be a secret."""
    scheme = _SCHEME.match(text)
    if scheme is None or scheme[1] in LOCAL:
        return ""
    return (
        f" {nearest(scheme[1], {*LOCAL, *stores})} Another store needs the package with the entry point secrets.NAME."
    )
