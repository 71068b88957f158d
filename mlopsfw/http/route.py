"""How a URL is reached: directly, at an address that was checked, or through the proxy that the environment names.

A proxy resolves the name itself, so no address can be pinned. What can be checked here is checked all the same: an
address in the URL, and the addresses that the name has here. A name that has none here (inside companies the rule) is
the proxy's to judge, and goes to it only where the config allows that.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from mlopsfw.http.addresses import AddressRefused, EgressError, is_public, refuse_private, resolve
from mlopsfw.http.proxies import Proxy, bracketed, proxy_for
from mlopsfw.kernel.base.errors import ConfigError


def check_url(url: str, *, key: str = "") -> SplitResult:
    """Return the parts of an absolute http(s) URL without credentials.

    Raise `ConfigError`, which names `key` and shows no part of the URL: its path may be a secret, as a webhook's is.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ConfigError("the URL is not an http or https URL", key=key, hint="Write https://HOST/PATH.")
    if parts.username or parts.password:
        raise ConfigError("a URL must not carry credentials", key=key, hint="Send them in a header, by reference.")
    if not (parts.path + parts.query).isascii() or any(c <= " " for c in url):
        raise ConfigError(
            "a URL must be ASCII without spaces", key=key, hint="Percent-encode its path: %20 is a space."
        )
    return parts


@dataclass(frozen=True)
class Route:
    """The parts of a URL (its port None for the scheme's own), and where to connect to: its address, or a proxy."""

    scheme: str
    host: str
    port: int | None
    target: str
    dialled: tuple[str, int]
    proxy: Proxy | None

    def __str__(self) -> str:
        port = self.port or _own_port(self.scheme)
        return f"{self.scheme}://{bracketed(self.host)}:{port}"

    @property
    def forwarder(self) -> Proxy | None:
        """Return the proxy that reads the request itself and may answer it in the host's stead: one for http."""
        return self.proxy if self.scheme == "http" else None

    def public(self) -> bool:
        """Return whether it leads to the public internet; where only a proxy can tell, it is taken to."""
        if self.proxy is None:
            return is_public(self.dialled[0])
        try:
            return all(map(is_public, resolve(self.host, self.dialled[1])))
        except EgressError:
            return True


def find_route(url: str, *, allow_private: bool, allow_unresolved: bool, direct: bool = False) -> Route:
    """Return how a URL is reached, its addresses checked; arguments and errors as for `get`."""
    parts = check_url(url)
    host = _in_ascii(parts.hostname or "")
    port = parts.port or _own_port(parts.scheme)
    proxy = None if direct else proxy_for(parts.scheme, host, port)
    if proxy is None:
        addresses = resolve(host, port)
        if not allow_private:
            refuse_private(host, addresses)
    elif not (allow_private and allow_unresolved):  # else no look-up could change anything
        _check_here(proxy, host, port, allow_private=allow_private, allow_unresolved=allow_unresolved)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    dialled = (proxy.host, proxy.port) if proxy else (addresses[0], port)
    return Route(parts.scheme, host, parts.port, target, dialled, proxy)


def _check_here(proxy: Proxy, host: str, port: int, *, allow_private: bool, allow_unresolved: bool) -> None:
    try:
        addresses = resolve(host, port)
    except EgressError as error:
        if not allow_unresolved:
            raise AddressRefused(
                f"{error.message}, and only the proxy {proxy} of {proxy.variable} would know where it leads",
                hint="If the proxy may decide that, write allow_private = true.",
            ) from None
        return
    if not allow_private:
        refuse_private(host, addresses)


def _in_ascii(host: str) -> str:
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise EgressError(f"{host} cannot be resolved: {error}", final=True) from None


def _own_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80
