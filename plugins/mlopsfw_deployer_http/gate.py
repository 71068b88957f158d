"""Access: the allowed Host and Origin headers, and the bearer token if one is set."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping

from mlopsfw.http import is_loopback
from mlopsfw_deployer_http.message import Refusal, Request

_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")


def digest(token: str) -> str:
    """Return the stored form of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def _as_sent(host: str) -> str:
    """Return `host` as in a Host header: IPv6 addresses in brackets."""
    return f"[{host.lower()}]" if ":" in host and not host.startswith("[") else host.lower()


class Gate:
    """Refuses requests before anything else reads them.

    Args:
        hosts: Names, without port, that clients may use besides those of loopback.
        token: `digest` of the bearer token; empty for none.
        own: Path → `digest` of a token that opens only this path, in place of `token`.
    """

    def __init__(self, hosts: Iterable[str], token: str = "", own: Mapping[str, str] | None = None) -> None:
        self._hosts = {_as_sent(host) for host in hosts}
        self._token, self._own = token, dict(own or {})
        self._known: set[bytes] = set()  # accepted Host headers; bounded below, since clients choose the port

    def check(self, request: Request, *, public: bool) -> None:
        """Raise `Refusal` unless `request` may pass. A `public` route needs no token.

        With an unknown Host, an attacker may have pointed a name at this server (DNS rebinding). A foreign Origin is the page of another site.
        """
        host = request.headers.get(b"host")
        if host is None:
            raise Refusal(400, "the Host header is missing")
        if host not in self._known:
            self._check_host(host)
        origin = request.headers.get(b"origin")
        if origin is not None and origin.partition(b"://")[2] != host:
            raise Refusal(403, "requests from another site's page are refused")
        token = self._own.get(request.path, self._token)
        if token and not public:
            _check_token(request.headers.get(b"authorization", b""), token)

    def _check_host(self, host: bytes) -> None:
        found = _AUTHORITY.fullmatch(host.decode("latin-1"))
        if found is None or not (found["host"].lower() in self._hosts or is_loopback(found["host"])):
            raise Refusal(403, "this server does not answer to that Host; add it to `hosts` in its configuration")
        if len(self._known) < 16:  # noqa: PLR2004 - few are ever used
            self._known.add(host)


def _check_token(header: bytes, wanted: str) -> None:
    scheme, _, token = header.decode("latin-1").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(digest(token.strip()), wanted):
        raise Refusal(401, "a bearer token is needed", headers=b"www-authenticate: Bearer\r\n")
