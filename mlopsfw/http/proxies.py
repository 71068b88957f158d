"""The environment's proxy for a URL: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, in small letters too."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from mlopsfw.kernel.base.errors import ConfigError


@dataclass(frozen=True)
class Proxy:
    """A proxy: how and where it is spoken to, as whom, and the environment variable that names it."""

    scheme: str
    host: str
    port: int
    user: str = field(repr=False)
    password: str = field(repr=False)
    variable: str

    def __str__(self) -> str:
        return f"{self.scheme}://{bracketed(self.host)}:{self.port}"


def bracketed(host: str) -> str:
    """Return a host as a URL has it: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host


def proxy_for(scheme: str, host: str, port: int) -> Proxy | None:
    """Return the proxy for a destination, None where there is none or NO_PROXY lists the host. Raise `ConfigError`."""
    for name in (f"{scheme}_proxy", "all_proxy"):
        variable, value = _variable(name)
        if value:
            return None if _listed(host.lower(), port, _variable("no_proxy")[1]) else _proxy(variable, value)
    return None


def _variable(name: str) -> tuple[str, str]:
    """Return a variable, in small letters or else in capitals, and its value."""
    variable = name if name in os.environ else name.upper()
    if variable == "HTTP_PROXY" and "REQUEST_METHOD" in os.environ:  # under CGI a client sets it (httpoxy)
        return variable, ""
    return variable, os.environ.get(variable, "").strip()


def _proxy(variable: str, value: str) -> Proxy:
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        parts, host, port = urlsplit(""), "", 0
    rest = parts.path.removeprefix("/") + parts.query + parts.fragment  # such as half a password with a # in it
    if parts.scheme not in ("http", "https") or not host or not host.isascii() or rest:
        raise ConfigError(  # without the value, which may hold a password
            f"the environment variable {variable} names no http or https proxy",
            hint=f"Run: export {variable}=http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT, percent-encoded.",
        )
    return Proxy(parts.scheme, host, port, unquote(parts.username or ""), unquote(parts.password or ""), variable)


def _listed(host: str, port: int, listed: str) -> bool:
    return any(_matches(host, port, entry) for entry in listed.lower().replace(",", " ").split())


def _matches(host: str, port: int, entry: str) -> bool:
    """Return whether an entry means a host: a name and all below it, an address, a network, any with a port; or all."""
    name, _, own = entry.rpartition(":") if entry.count(":") == 1 or "]:" in entry else (entry, "", "")
    if own and own != str(port):
        return False
    name = name.removeprefix("[").removesuffix("]")
    if entry == "*":
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        name = name.removeprefix("*").removeprefix(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))
    try:
        return address in ipaddress.ip_network(name, strict=False)
    except ValueError:  # a name, or a part of an address, which has no names below it
        return False
