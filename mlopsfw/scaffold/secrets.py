"""The secret store `sample`: the secrets are the fields of a JSON file, and `sample:NAME` refers to one of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from mlopsfw import Provider, hookimpl
from mlopsfw.errors import ConfigError, SecretUnavailable
from mlopsfw.roles import SecretStore, StorageHost


class SampleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[secrets.sample]`.

    Args:
        path: The file, relative to the project.
    """

    path: str = "sample-secrets.json"


class SampleStore:
    """Reads the file at each call, so that a secret can be changed there. Keeps nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, target: str) -> str:
        """Return the field of this name. Errors name the field and the file, never a value."""
        try:
            fields = msgspec.json.decode(self._path.read_bytes(), type=dict[str, str])
        except OSError as error:
            raise SecretUnavailable(f"{self._path}: {error.strerror}", hint="Write the file.") from None
        except (msgspec.MsgspecError, UnicodeDecodeError):  # its words may hold a value
            raise ConfigError(f"{self._path} is no JSON object of texts", hint="Correct the file.") from None
        if target not in fields:
            raise ConfigError(f"sample:{target} does not exist: {self._path} has no such field", hint="Add the field.")
        return fields[target]


def _build(config: SampleConfig, host: StorageHost) -> SecretStore:
    return SampleStore(host.root / config.path)


@hookimpl
def mlopsfw_secrets() -> Iterable[Provider[SecretStore]]:
    """Offer the store, by the scheme of its references."""
    yield Provider("sample", SampleConfig, _build, "Secrets in a JSON file")
