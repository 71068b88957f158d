"""The secret store `vault`: `vault:secret/data/db#password` is a field of a secret in HashiCorp Vault or OpenBao, engine KV version 2."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import msgspec

from mlopsfw import Provider, hookimpl

if TYPE_CHECKING:
    from mlopsfw.roles import StorageHost
    from mlopsfw_secrets_vault.store import VaultStore


class VaultConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[secrets.vault]`.

    Args:
        address: The server's URL, such as `https://vault.acme.example:8200`; http only to this machine.
        token: Reference to the token, `env:NAME` or `file:/path`.
        namespace: The namespace, of servers that have them.
        timeout: Seconds for one secret.
    """

    address: str
    token: str
    namespace: str = ""
    timeout: Annotated[float, msgspec.Meta(gt=0)] = 10.0


def _build(config: VaultConfig, host: StorageHost) -> VaultStore:
    from mlopsfw_secrets_vault.store import VaultStore

    return VaultStore(config, host.secrets)


@hookimpl
def mlopsfw_secrets() -> Iterable[Provider[VaultStore]]:
    """Offer Vault."""
    yield Provider("vault", VaultConfig, _build, "HashiCorp Vault or OpenBao, KV version 2")
