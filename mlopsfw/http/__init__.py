"""The one HTTP client: addresses checked and pinned, proxies honoured, no redirects, answers capped or streamed.

A URL in a config can name a host that resolves, now or on the second look, to something inside the network (SSRF, DNS
rebinding). So the name is resolved once, all its addresses must be public unless the config says otherwise, and the
connection goes to the address that was checked. Behind a proxy the proxy connects (`route`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlopsfw.http.addresses import AddressRefused, EgressError, is_loopback
from mlopsfw.http.route import check_url, find_route
from mlopsfw.kernel.base.errors import DeliveryFailed
from mlopsfw.kernel.base.lazy import lazy

if TYPE_CHECKING:
    from email import message
else:
    message = lazy("email.message")

__all__ = [
    "AddressRefused",
    "Answer",
    "EgressError",
    "Stream",
    "check_url",
    "deliver",
    "get",
    "is_loopback",
    "post",
]

LARGEST_ANSWER = 64 * 1024


@dataclass(frozen=True)
class Answer:
    """What came back.

    Args:
        status: The status.
        body: At most 64 KiB of the body.
        proxy: The proxy that may have answered in the host's stead, without its credentials; empty where none can.
    """

    status: int
    body: bytes
    proxy: str = ""


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, timeout: float = 10.0, allow_private: bool = False
) -> Answer:
    """POST `body`; return the answer, whatever its status. A redirect is an answer like any other.

    Args:
        url: An absolute http(s) URL.
        body: The body.
        headers: Its headers; `Host` and `User-Agent` are ours.
        timeout: Seconds for the whole exchange.
        allow_private: Whether addresses that are not public may be called, and by a proxy names without one here.

    Raises:
        EgressError: An address is not allowed, or there was no answer.
        ConfigError: The URL is none, or the environment names a proxy that is none.
    """
    route = find_route(url, allow_private=allow_private, allow_unresolved=allow_private)
    from mlopsfw.http.exchange import exchange  # httpcore: 0.1 s that only senders pay

    with exchange(route, "POST", headers, body, timeout, whole=True) as stream:
        start = b""
        while piece := stream.read(LARGEST_ANSWER - len(start)):
            start += piece
        return Answer(stream.status, start, stream.proxy)


def deliver(
    url: str, body: bytes, headers: Mapping[str, str], *, timeout: float = 10.0, allow_private: bool = False
) -> None:
    """POST `body` to somebody who is to have it, which any 2xx says; arguments as for `post`.

    Raises:
        DeliveryFailed: An address is not allowed, or there was no answer, or another one; a redirect is another one.
        ConfigError: As for `post`.
    """
    try:
        answer = post(url, body, headers, timeout=timeout, allow_private=allow_private)
    except EgressError as error:
        raise DeliveryFailed(error.message, hint=error.hint) from error
    if not 200 <= answer.status < 300:  # noqa: PLR2004 - RFC 9110's class of success
        stead = f", or the proxy {answer.proxy} in its stead" if answer.proxy else ""
        raise DeliveryFailed(f"the receiver answered {answer.status}{stead}")


@dataclass(frozen=True)
class Stream:
    """An answer whose body is read as it comes.

    Args:
        status: Its status.
        headers: Its headers, found by name in any case.
        public: Whether it came from an address on the public internet; through a proxy, from one unknown here too.
        read: Returns at most so many bytes of the body, empty at its end; raises `EgressError` where that breaks off.
        proxy: As in `Answer`.
    """

    status: int
    headers: message.Message
    public: bool
    read: Callable[[int], bytes]
    proxy: str = ""


@contextmanager
def get(
    url: str,
    headers: Mapping[str, str],
    *,
    timeout: float = 30.0,
    allow_private: bool = False,
    allow_unresolved: bool | None = None,
    direct: bool = False,
    whole: bool = False,
) -> Iterator[Stream]:
    """GET a body of any size; errors as for `post`. A redirect is an answer.

    Args:
        url: An absolute http(s) URL.
        headers: The request's headers; `Host` and `User-Agent` are ours.
        timeout: Seconds until the answer's headers are there, and of silence between two pieces of the body.
        allow_private: Whether addresses that are not public may be called.
        allow_unresolved: Whether a proxy may call names that have no address here; None: as `allow_private`.
        direct: Whether to pass by the proxies of the environment.
        whole: Whether `timeout` limits the whole exchange, however the body drips.
    """
    unresolved = allow_private if allow_unresolved is None else allow_unresolved
    route = find_route(url, allow_private=allow_private, allow_unresolved=unresolved, direct=direct)
    from mlopsfw.http.exchange import exchange

    with exchange(route, "GET", headers, None, timeout, whole=whole) as stream:
        yield stream
