"""Secret references: `env:NAME` and `file:/path`.

The value is read at use and kept nowhere. An empty one is refused here, for every use.
"""

from __future__ import annotations

import os
from pathlib import Path

from mlopsfw.kernel.base.errors import ConfigError

LEAST_TOKEN = 16
"""Characters that a bearer token which clients must present has at least."""

_LONGEST = 1 << 16  # bytes of a secret's file; more is another file


class SecretResolver:
    """Resolves references; relative files are relative to `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def resolve(self, reference: str) -> str:
        """Return the secret's value, without a trailing newline.

        Raises:
            ConfigError: It is no reference, leads nowhere, or the value is empty, only white space, or no text. The
                error names the reference, never a value.
        """
        kind, _, where = reference.partition(":")
        if kind == "env" and where:
            return _not_empty(self._from_environment(where), f"the environment variable {where}")
        if kind == "file" and where:
            return _not_empty(self._from_file(where), f"the secret file {where}")
        raise ConfigError("a secret must be a reference", hint="Write env:NAME or file:/path, never the secret itself.")

    @staticmethod
    def _from_environment(name: str) -> str:
        try:
            value = os.environ[name]
        except (KeyError, ValueError):
            raise ConfigError(f"the environment variable {name} is not set", hint=f"Run: export {name}=…") from None
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise ConfigError(f"the environment variable {name} is not UTF-8", hint="Set it to a text.")
        return value

    def _from_file(self, name: str) -> str:
        try:
            with (self._root / name).open("rb") as file:
                data = file.read(_LONGEST + 1)
        except OSError as error:
            raise ConfigError(f"the secret file {name} cannot be read: {error.strerror}") from None
        except ValueError as error:  # such as a NUL in its name
            raise ConfigError(f"the secret file {name!r} cannot be read: {error}") from None
        if len(data) > _LONGEST:
            raise ConfigError(f"the secret file {name} has more than {_LONGEST:,} bytes", hint="Name the right file.")
        try:
            return data.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise ConfigError(f"the secret file {name} is not UTF-8", hint="Write the secret as text.") from None


def _not_empty(value: str, where: str) -> str:
    if not value.strip():
        raise ConfigError(
            f"{where} holds no secret: it is empty or only white space", hint="Set it, or remove the key."
        )
    return value


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
        problem = "has characters that no header carries (only printable ASCII without spaces is sent)"
    elif len(value) < least:
        problem = f"is too short: it has {len(value)} characters and needs at least {least}"
    elif least > 1 and len(set(value)) == 1:
        problem = "repeats one character"
    if problem:
        hint = 'Make one: python -c "import secrets; print(secrets.token_urlsafe(32))"'
        raise ConfigError(f"the token of {reference} {problem}", key=key, hint=hint)
    return value


def is_reference(text: str) -> bool:
    """Return whether `text` reads as a secret reference."""
    return text.startswith(("env:", "file:"))
