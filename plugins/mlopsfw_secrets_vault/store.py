"""Read one field of a secret: a GET through the HTTP client, and each way in which a Vault refuses told apart."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import msgspec

from mlopsfw.errors import ConfigError, MlopsfwError, SecretUnavailable
from mlopsfw.http import EgressError, check_url, get, is_loopback
from mlopsfw.roles import Secrets
from mlopsfw_secrets_vault import VaultConfig

_LARGEST = 1 << 20  # bytes of an answer: the most that a Vault keeps as one secret
_TARGET = re.compile(r"(?P<path>[^#\x00-\x1f\x7f]+)#(?P<field>[^\x00-\x1f\x7f]+)")
_FORM = "Write vault:MOUNT/data/PATH#FIELD, such as vault:secret/data/db#password."
_STATE = "Run: vault status"


class VaultStore:
    """Reads at each call, the token too, so that both can be rotated. Keeps neither.

    Args:
        config: Says where the server is.
        secrets: Resolves the reference to the token.
    """

    def __init__(self, config: VaultConfig, secrets: Secrets) -> None:
        self._config, self._secrets = config, secrets
        parts = check_url(config.address, key="secrets.vault.address")
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise ConfigError(
                "http would send the token and every secret in the clear", key="secrets.vault.address",
                hint=f"Write https://{parts.netloc}.",
            )  # fmt: skip

    def read(self, target: str) -> str:
        """Return a field of the newest version of a secret; `target` is `MOUNT/data/PATH#FIELD`."""
        path, field = _parsed(target)
        status, body = self._ask(path)
        if status == 200:  # noqa: PLR2004 - RFC 9110
            return _field(body, target, path, field)
        raise _refused(status, body, target)

    def _ask(self, path: str) -> tuple[int, bytes]:
        """Return status and body of the answer. Raise `SecretUnavailable` where none came."""
        config = self._config
        token = self._secrets.bearer_token(config.token, key="secrets.vault.token")
        headers = {"X-Vault-Token": token, "X-Vault-Request": "true", "Accept": "application/json"}
        if config.namespace:
            headers["X-Vault-Namespace"] = config.namespace
        url = f"{config.address.rstrip('/')}/v1/{quote(path)}"
        here = url.startswith("http:")  # on this machine: a proxy would see the token and answer in the Vault's stead
        try:
            with get(url, headers, timeout=config.timeout, allow_private=True, direct=here) as answer:
                body = b""
                while len(body) <= _LARGEST and (piece := answer.read(_LARGEST + 1 - len(body))):
                    body += piece
        except EgressError as error:
            raise SecretUnavailable(f"vault:{path}: {error.message}", hint=error.hint or _STATE) from None
        if len(body) > _LARGEST:
            raise SecretUnavailable(f"vault:{path}: the answer has more than {_LARGEST:,} bytes", hint=_STATE)
        return answer.status, body


def _parsed(target: str) -> tuple[str, str]:
    match = _TARGET.fullmatch(target)
    if match is None:
        raise ConfigError(f"vault:{target!r} names no path and field", hint=_FORM)
    path = match["path"]
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise ConfigError(f"vault:{target} has a path with an empty part, `.` or `..`", hint=_FORM)
    return path, match["field"]


def _field(body: bytes, target: str, path: str, field: str) -> str:
    """Return the field. Raise `ConfigError` where the answer has none, without showing what it has."""
    data = _object(_object(_decoded(body)).get("data"))
    fields = data.get("data")
    if not isinstance(fields, dict) or not isinstance(data.get("metadata"), dict):
        hint = "The engine must be KV version 2, whose paths are MOUNT/data/PATH."
        raise ConfigError(f"vault:{path} is no secret of the KV engine, version 2", hint=hint)
    if field not in fields:
        hint = f"Run: vault kv get {path.replace('/data/', '/', 1)}"
        raise ConfigError(f"the secret vault:{path} has no field {field!r}", hint=hint)
    value = fields[field]
    if not isinstance(value, str):
        raise ConfigError(f"the field of vault:{target} is no text", hint="Keep the secret as a text.")
    return value


def _refused(status: int, body: bytes, target: str) -> MlopsfwError:
    """Return the error for an answer that is not 200. Texts of the server are read, and not repeated."""
    answer, where = _object(_decoded(body)), f"vault:{target}"
    if status == 404:  # noqa: PLR2004
        return ConfigError(f"{where} does not exist{_missing(answer)}", hint=_FORM)
    if status in (401, 403):
        hint = "Check the token (vault token lookup), and that a policy of it may read this path."
        return ConfigError(f"the Vault does not let this token read {where} ({status})", hint=hint)
    if status == 400:  # noqa: PLR2004
        return ConfigError(f"the Vault takes {where} for no request that it knows (400)", hint=_FORM)
    if 300 <= status < 400:  # noqa: PLR2004
        hint = "Write the URL of the active server, or of what stands before all of them, as `address`."
        return ConfigError(f"{where}: the server answers with a redirect ({status}), which is not followed", hint=hint)
    return _unavailable(status, _said(answer, "errors"), where)


def _unavailable(status: int, said: str, where: str) -> SecretUnavailable:
    if "sealed" in said.lower():
        return SecretUnavailable(f"{where}: the Vault is sealed ({status})", hint="Have an operator unseal it.")
    if status == 429:  # noqa: PLR2004
        return SecretUnavailable(f"{where}: the Vault limits how often it is asked (429)", hint="Try again later.")
    return SecretUnavailable(f"{where}: the Vault is not available ({status})", hint=_STATE)


def _missing(answer: dict[str, Any]) -> str:
    """Return what else is known of a secret that is not there."""
    metadata = _object(_object(answer.get("data")).get("metadata"))
    if metadata.get("destroyed"):
        return ": its newest version was destroyed"
    if metadata.get("deletion_time"):
        return ": its newest version was deleted"
    is_path_of_v1 = "versioned K/V" in _said(answer, "warnings")
    return ": a path of this engine needs /data/ after the mount" if is_path_of_v1 else ""


def _said(answer: dict[str, Any], key: str) -> str:
    texts = answer.get(key)
    return " ".join(text for text in texts if isinstance(text, str)) if isinstance(texts, list) else ""


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
