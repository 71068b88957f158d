"""Deliver an alert: one signed POST through the HTTP client. Any 2xx answer confirms the delivery."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

import msgspec

from mlopsfw.errors import ConfigError
from mlopsfw.http import check_url, deliver
from mlopsfw.roles import Alert, Alerter, Clock, Host
from mlopsfw_alerter_webhook import WebhookConfig

_PREFIX = "whsec_"
_KEY_BYTES = range(24, 65)


class WebhookAlerter(Alerter):
    """Delivers to one URL. Reads the secret, and a secret URL, at each delivery, so that they can be rotated."""

    def __init__(self, config: WebhookConfig, host: Host) -> None:
        self._config, self._secrets = config, host.secrets
        self._clock: Clock = host.clock
        self._url()

    def deliver(self, alert: Alert) -> None:
        """POST the alert. A redirect, like every other answer outside 2xx, is a failed delivery."""
        body = msgspec.json.encode({"type": f"alert.{alert.state}", "timestamp": alert.time, "data": alert})
        message_id = _message_id(alert)
        headers = {"Content-Type": "application/json", **self._signed(message_id, body)}
        config = self._config
        deliver(self._url(), body, headers, timeout=config.timeout, allow_private=config.allow_private)

    def check(self) -> None:
        """Resolve the URL and the secret. Nothing is sent."""
        self._url()
        if self._config.secret:
            signing_key(self._secrets.resolve(self._config.secret))

    def _url(self) -> str:
        url = self._secrets.reveal(self._config.url)
        check_url(url, key="alerter.webhook.url")
        return url

    def _signed(self, message_id: str, body: bytes) -> dict[str, str]:
        stamp = str(int(self._clock.now()))
        headers = {"webhook-id": message_id, "webhook-timestamp": stamp}
        if self._config.secret:
            key = signing_key(self._secrets.resolve(self._config.secret))
            digest = hmac.digest(key, f"{message_id}.{stamp}.".encode() + body, hashlib.sha256)
            headers["webhook-signature"] = "v1," + base64.b64encode(digest).decode()
        return headers


def _message_id(alert: Alert) -> str:
    """Return the id by which the receiver tells a repeated delivery from a new one."""
    if alert.state != "firing":
        return f"{alert.id}-{alert.state}"
    return f"{alert.id}-{alert.rises}" if alert.rises else alert.id


def signing_key(secret: str) -> bytes:
    """Return the key of a Standard Webhooks secret. Raise `ConfigError` without showing the secret."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in _KEY_BYTES:
        raise ConfigError(
            "the webhook's secret must be 24 to 64 bytes in base64",
            hint="Make one with: python -c \"import os, base64; print('whsec_' + base64.b64encode(os.urandom(32)).decode())\"",
        )
    return key
