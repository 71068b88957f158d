"""The alerter `webhook`: POSTs each alert as JSON, signed by Standard Webhooks 1.0 (standardwebhooks.com)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from mlopsfw import Provider, hookimpl
from mlopsfw.roles import Host

if TYPE_CHECKING:
    from mlopsfw_alerter_webhook.alerter import WebhookAlerter


class WebhookConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[alerter.webhook]`.

    Args:
        url: The receiver's URL, http or https; or a reference to it (`env:NAME`, `file:/path`) if its path is a secret.
        secret: Reference (`env:NAME`, `file:/path`) to the signing secret, `whsec_` and base64 of 24 to 64 bytes; empty sends
            unsigned.
        timeout: Seconds for the whole exchange.
        allow_private: Whether the receiver may have an address that is not public.
    """

    url: str
    secret: str = ""
    timeout: float = 10.0
    allow_private: bool = False


def _build(config: WebhookConfig, host: Host) -> WebhookAlerter:
    from mlopsfw_alerter_webhook.alerter import WebhookAlerter

    return WebhookAlerter(config, host)


@hookimpl
def mlopsfw_alerters() -> Iterable[Provider[WebhookAlerter]]:
    """Offer the webhook."""
    yield Provider("webhook", WebhookConfig, _build, "POSTs alerts as signed JSON")
