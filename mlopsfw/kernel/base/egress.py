"""The one HTTP client: every address checked and pinned, no redirects, answers capped or streamed.

A URL in a config can name a host that resolves, now or on the second look, to something inside the network (SSRF, DNS
rebinding). So the name is resolved once, all its addresses must be public unless the config says otherwise, and the
connection goes to the address that was checked.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from mlopsfw.kernel.base.errors import ConfigError, DeliveryFailed, MlopsfwError

LARGEST_ANSWER = 64 * 1024

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.ip_network(
    "2000::/3"
)  # all that IANA gives out; outside lie site-local and IPv4 in old clothes
_DOCUMENTATION = ipaddress.ip_network("3fff::/20")  # RFC 9637, newer than the interpreter's own list
_RELAY = ipaddress.ip_network("192.88.99.0/24")  # 6to4 relays, RFC 7526: whoever is nearest answers


class EgressError(MlopsfwError):
    """The request was refused before it left, or got no usable answer."""


class AddressRefused(EgressError):
    """The host's address is not one that may be called."""


@dataclass(frozen=True)
class Answer:
    """What came back: the status, and at most 64 KiB of the body."""

    status: int
    body: bytes


def check_url(url: str) -> SplitResult:
    """Return the parts of an absolute http(s) URL without credentials. Raise `ConfigError`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{url!r} is not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ConfigError(f"{url!r} is not an http or https URL")
    if parts.username or parts.password:
        raise ConfigError("a URL must not carry credentials", hint="Use a secret reference.")
    if not (parts.path + parts.query).isascii() or any(c <= " " for c in url):
        raise ConfigError("a URL must be ASCII without spaces", hint="Percent-encode its path: %20 is a space.")
    return parts


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, timeout: float = 10.0, allow_private: bool = False
) -> Answer:
    """POST `body`; return the answer, whatever its status. A redirect is an answer like any other.

    Args:
        url: An absolute http(s) URL.
        body: The body.
        headers: Its headers; `Host` is ours.
        timeout: Seconds for the whole exchange.
        allow_private: Whether addresses that are not public may be called.

    Raises:
        EgressError: An address is not allowed, or there was no answer.
        ConfigError: The URL is none.
    """
    parts = check_url(url)
    connection = _connection(parts, timeout, allow_private=allow_private)
    deadline = threading.Timer(timeout, connection.abort)  # per-read time-outs alone would let an answer drip for ever
    deadline.start()
    try:
        connection.request("POST", _target(parts), body, {**headers, "User-Agent": "mlopsfw"})
        response = connection.getresponse()
        answer = Answer(response.status, response.read(LARGEST_ANSWER))
    except (OSError, http.client.HTTPException) as error:
        raise _silent(connection, error) from error
    finally:
        deadline.cancel()
        connection.close()
    if connection.aborted:  # http.client takes an answer that is cut off among its headers for a whole one
        raise EgressError(f"{connection.shown} did not finish its answer in {timeout:g} s")
    return answer


def deliver(
    url: str, body: bytes, headers: Mapping[str, str], *, timeout: float = 10.0, allow_private: bool = False
) -> None:
    """POST `body` to somebody who is to have it, which any 2xx says; arguments as for `post`.

    Raises:
        DeliveryFailed: An address is not allowed, or there was no answer, or another one; a redirect is another one.
        ConfigError: The URL is none.
    """
    try:
        answer = post(url, body, headers, timeout=timeout, allow_private=allow_private)
    except EgressError as error:
        raise DeliveryFailed(error.message, hint=error.hint) from error
    if not 200 <= answer.status < 300:  # noqa: PLR2004 - RFC 9110's class of success
        raise DeliveryFailed(f"the receiver answered {answer.status}")


@dataclass(frozen=True)
class Stream:
    """An answer whose body is read as it comes.

    Args:
        status: Its status.
        headers: Its headers, found by name in any case.
        public: Whether it came from an address on the public internet.
        read: Returns at most so many bytes of the body, empty at its end; raises `OSError` or `HTTPException` where
            that breaks off.
    """

    status: int
    headers: http.client.HTTPMessage
    public: bool
    read: Callable[[int], bytes]


@contextmanager
def get(
    url: str, headers: Mapping[str, str], *, timeout: float = 30.0, allow_private: bool = False
) -> Iterator[Stream]:
    """GET a body of any size; errors as for `post`, until the headers are there. A redirect is an answer.

    Args:
        url: An absolute http(s) URL.
        headers: The request's headers; `Host` is ours.
        timeout: Seconds until the answer's headers are there, and of silence between two pieces of the body.
        allow_private: Whether addresses that are not public may be called.
    """
    parts = check_url(url)
    connection = _connection(parts, timeout, allow_private=allow_private)
    deadline = threading.Timer(timeout, connection.abort)
    deadline.start()
    try:
        try:
            connection.request("GET", _target(parts), headers={**headers, "User-Agent": "mlopsfw"})
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise _silent(connection, error) from error
        finally:
            deadline.cancel()
        if connection.aborted:
            raise EgressError(f"{connection.shown} did not finish its headers in {timeout:g} s")
        yield Stream(response.status, response.headers, is_public(connection.address), response.read1)
    finally:
        connection.close()


def _connection(parts: SplitResult, timeout: float, *, allow_private: bool) -> _Pinned:
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    address = _address(host, port, allow_private=allow_private)
    return _Pinned(host, port, address, tls=parts.scheme == "https", timeout=timeout)


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _silent(connection: _Pinned, error: Exception) -> EgressError:
    return EgressError(f"{connection.shown} did not answer: {type(error).__name__}: {error}")


def _address(host: str, port: int, *, allow_private: bool) -> str:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise EgressError(f"{host} cannot be resolved: {error}") from error
    addresses = [str(info[4][0]) for info in found]
    for address in addresses:
        if not allow_private and not is_public(address):
            raise AddressRefused(
                f"{host} resolves to {address}, which is not a public address",
                hint="If that is meant, write allow_private = true.",
            )
    return addresses[0]


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
    return ip.is_global and not ip.is_multicast and ip not in _RELAY


class _Pinned(http.client.HTTPConnection):
    """A connection to one checked address, with the host's name in the request and in TLS."""

    def __init__(self, host: str, port: int, address: str, *, tls: bool, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout)
        self.default_port = 443 if tls else 80
        self.address, self._tls = address, tls
        self.aborted = False

    @property
    def shown(self) -> str:
        """Return where it goes, for people."""
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}"

    def connect(self) -> None:
        """Connect to the address that was checked."""
        self.sock = socket.create_connection((self.address, self.port), self.timeout)
        if self.aborted:
            raise TimeoutError("connecting took too long")
        if self._tls:
            context = ssl.create_default_context()
            # what `abort` is to shut must be in place before the other side can let the handshake drip
            self.sock = wrapped = context.wrap_socket(
                self.sock, server_hostname=self.host, do_handshake_on_connect=False
            )
            wrapped.do_handshake()

    def abort(self) -> None:
        """Break the connection off, whatever another thread is waiting for on it."""
        self.aborted = True
        if self.sock is not None:
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)
