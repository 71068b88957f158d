"""Addresses: which ones a name has, and whether they lie on the public internet or on this machine."""

from __future__ import annotations

import ipaddress
import socket

from mlopsfw.kernel.base.errors import MlopsfwError

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # outside lie site-local and IPv4 in old clothes
_DOCUMENTATION = ipaddress.ip_network("3fff::/20")  # RFC 9637, newer than the interpreter's own list
_RELAY = ipaddress.ip_network("192.88.99.0/24")  # 6to4 relays, RFC 7526: the nearest relay answers
_PROTOCOLS = ipaddress.ip_network("192.0.0.0/24")  # RFC 6890; interpreters differ in which of its addresses they list
_ANYCAST = tuple(map(ipaddress.ip_address, ("192.0.0.9", "192.0.0.10")))  # the two that IANA lists as global


class EgressError(MlopsfwError):
    """A request was refused before it left, or got no usable answer; `final` where the same one would fail again."""

    def __init__(self, message: str, *, hint: str = "", final: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.final = final


class AddressRefused(EgressError):
    """The host's address is not one that may be called."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message, hint=hint, final=True)


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a name, or of an address in any spelling. Raise `EgressError`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise EgressError(f"{host} cannot be resolved: {error}") from error
    return [str(info[4][0]) for info in found]


def refuse_private(host: str, addresses: list[str]) -> None:
    """Raise `AddressRefused` where one of the addresses is not public."""
    for address in addresses:
        if not is_public(address):
            raise AddressRefused(
                f"{host} resolves to {address}, which is not a public address",
                hint="If you mean this address, write allow_private = true.",
            )


def is_public(address: str) -> bool:
    """Return whether an address is on the public internet, seen through IPv4-mapped, 6to4, Teredo and NAT64 forms."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if ip not in _GLOBAL_UNICAST or ip in _DOCUMENTATION:
            return False
    if ip in _PROTOCOLS:
        return ip in _ANYCAST
    return ip.is_global and not ip.is_multicast and ip not in _RELAY


def is_loopback(host: str) -> bool:
    """Return whether a host, in brackets or not, is this machine alone: `localhost`, 127.0.0.0/8, `::1`."""
    plain = host.removeprefix("[").removesuffix("]").lower()
    try:
        ip = ipaddress.ip_address(plain)
    except ValueError:
        return plain == "localhost"
    return ip.is_loopback
