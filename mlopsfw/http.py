"""The one client for destinations that come from a client or from data: addresses checked and pinned, no redirects."""

from __future__ import annotations

from mlopsfw.kernel.base.egress import AddressRefused, Answer, EgressError, Stream, check_url, deliver, get, post

__all__ = ["AddressRefused", "Answer", "EgressError", "Stream", "check_url", "deliver", "get", "post"]
