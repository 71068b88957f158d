"""Secret references: `env:NAME` and `file:/path`. The value is read at use and kept nowhere."""

from __future__ import annotations

import os
from pathlib import Path

from mlopsfw.errors import ConfigError


class SecretResolver:
    """Resolves references; relative files are relative to `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def resolve(self, reference: str) -> str:
        """Return the secret's value, without a trailing newline. Raise `ConfigError` that names the reference, never a value."""
        kind, _, where = reference.partition(":")
        if kind == "env" and where:
            return self._from_environment(where)
        if kind == "file" and where:
            return self._from_file(where)
        raise ConfigError("a secret must be a reference", hint="Write env:NAME or file:/path, never the secret itself.")

    @staticmethod
    def _from_environment(name: str) -> str:
        try:
            return os.environ[name]
        except KeyError:
            raise ConfigError(f"the environment variable {name} is not set", hint=f"Run: export {name}=…") from None

    def _from_file(self, name: str) -> str:
        try:
            return (self._root / name).read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise ConfigError(f"the secret file {name} cannot be read: {error.strerror}") from None


def is_reference(text: str) -> bool:
    """Return whether `text` reads as a secret reference."""
    return text.startswith(("env:", "file:"))
