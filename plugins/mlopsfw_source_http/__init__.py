"""The sources `http` and `https`: a file behind a URL."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from mlopsfw import Provider, hookimpl

if TYPE_CHECKING:
    from mlopsfw.roles import Host, Source


class HttpConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[source.http]`, `[source.https]`: there is nothing to set."""


def _build(_config: HttpConfig, _host: Host) -> Source:
    from mlopsfw_source_http.source import HttpSource

    return HttpSource()


@hookimpl
def mlopsfw_sources() -> Iterable[Provider[Source]]:
    """Offer files behind URLs, by both schemes."""
    for scheme in ("http", "https"):
        yield Provider(scheme, HttpConfig, _build, "Files behind URLs")
