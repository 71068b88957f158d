"""The one client for destinations that come from a client or from data: addresses checked and pinned, proxies honoured, no redirects."""

from __future__ import annotations

from mlopsfw.kernel.base.http import (
    AddressRefused,
    Answer,
    EgressError,
    Stream,
    check_url,
    deliver,
    get,
    is_loopback,
    post,
)

__all__ = ["AddressRefused", "Answer", "EgressError", "Stream", "check_url", "deliver", "get", "is_loopback", "post"]
