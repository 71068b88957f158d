"""Send one request on a connection of its own, by httpcore, with a limit on its time and failures that name the host. Imported to send."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from email.message import Message
from socket import SHUT_RDWR, socket
from typing import Any

import httpcore

from mlopsfw.http import Stream
from mlopsfw.http.addresses import EgressError
from mlopsfw.http.proxies import Proxy, bracketed
from mlopsfw.http.route import Route

_FAILURES = (
    httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, httpcore.ProxyError, OSError, ValueError,
)  # fmt: skip
_LONGEST_REASON = 300  # characters: some reasons quote the answer
_AUTHENTICATE, _SERVER_ERROR = 407, 500


@contextmanager
def exchange(
    route: Route, method: str, headers: Mapping[str, str], body: bytes | None, timeout: float, *, whole: bool
) -> Iterator[Stream]:
    """Send a request; yield its answer once the headers are there. Raise `EgressError`.

    The `whole` exchange may take `timeout` seconds; otherwise all up to the headers, and then each piece.
    """
    with ExitStack() as stack:
        transport = stack.enter_context(closing(_Transport(route, timeout)))
        with transport.failures_named():
            pool = stack.enter_context(_pool(route, transport))
            url = httpcore.URL(scheme=route.scheme, host=bracketed(route.host), port=route.port, target=route.target)
            limits = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), timeout)}
            sent = pool.stream(method, url, headers=_headers(route, headers), content=body, extensions=limits)
            response = stack.enter_context(sent)
            if not whole:
                transport.limit.cancel()
        if response.status == _AUTHENTICATE and route.forwarder:
            raise _refused(route.forwarder, route, str(_AUTHENTICATE))
        transport.chunks, message = response.iter_stream(), Message()
        for name, value in response.headers:
            message[name.decode("latin-1")] = value.decode("latin-1")
        public = body is None and route.public()  # a look-up, which only redirects need
        yield Stream(response.status, message, public, transport.read, str(route.forwarder or ""))


def _pool(route: Route, transport: _Transport) -> httpcore.ConnectionPool:
    proxy = route.proxy
    trusted = ssl.create_default_context() if "https" in {route.scheme, proxy and proxy.scheme} else None
    if proxy is None:
        return httpcore.ConnectionPool(ssl_context=trusted, network_backend=transport)
    asked = httpcore.Proxy(
        httpcore.URL(scheme=proxy.scheme, host=bracketed(proxy.host), port=proxy.port, target="/"),
        auth=(proxy.user.encode(), proxy.password.encode()) if proxy.user or proxy.password else None,
        ssl_context=trusted if proxy.scheme == "https" else None,
    )
    return httpcore.ConnectionPool(ssl_context=trusted, proxy=asked, network_backend=transport)


def _headers(route: Route, given: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    authority = bracketed(route.host) + (f":{route.port}" if route.port else "")
    sent = {"Accept-Encoding": "identity", **given, "Host": authority, "User-Agent": "mlopsfw"}
    named = {name.lower(): (name, value) for name, value in sent.items()}
    return [(name.encode("ascii"), value.strip().encode("latin-1")) for name, value in named.values()]


class _Transport(httpcore.SyncBackend):
    """Connects to where the route leads, whatever the name means by then.

    A thread breaks it off at the limit: limits of each step alone would let an answer drip for ever.
    """

    def __init__(self, route: Route, timeout: float) -> None:
        self._route, self._timeout = route, timeout
        self._socket: socket | None = None
        self._aborted, self._rest = False, b""
        self.chunks: Iterator[bytes] = iter(())
        self.limit = threading.Timer(timeout, self._abort)
        self.limit.start()

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:  # fmt: skip
        """Connect."""
        del host, port  # a name, which could resolve to something else now
        stream = super().connect_tcp(*self._route.dialled, timeout, local_address, socket_options)
        self._socket = stream.get_extra_info("socket").dup()  # whatever TLS wraps the other one into
        if self._aborted:
            stream.close()
            raise httpcore.ConnectTimeout("connecting took too long")
        return _Stream(stream)

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes of the body, empty at its end."""
        if not self._rest:
            with self.failures_named():
                self._rest = next(self.chunks, b"")
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    def _abort(self) -> None:
        self._aborted = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(SHUT_RDWR)

    def close(self) -> None:
        """Forget the connection, which its user has closed."""
        self.limit.cancel()
        if self._socket is not None:
            self._socket.close()

    @contextmanager
    def failures_named(self) -> Iterator[None]:
        """Turn whatever goes wrong on the way into an `EgressError` that says where."""
        try:
            yield
        except (httpcore.LocalProtocolError, UnicodeEncodeError):  # their words hold the header
            raise EgressError(
                f"a header for {self._route} cannot be sent", hint="Write its value as one line of ASCII.", final=True
            ) from None
        except _FAILURES as error:
            cause = (
                error.args[0] if error.args and isinstance(error.args[0], Exception) else error
            )  # what httpcore wraps
            raise self._failed(cause) from cause
        if self._aborted:
            raise self._failed(TimeoutError())

    def _failed(self, cause: Exception) -> EgressError:
        route, proxy = self._route, self._route.proxy
        if proxy and isinstance(cause, httpcore.ProxyError):
            return _refused(proxy, route, str(cause)[:_LONGEST_REASON])
        place, hint = str(route), ""
        if proxy:
            place = f"{route}, through the proxy {proxy}," if self._socket else f"the proxy {proxy}"
            hint = f"Correct {proxy.variable}, or list {route.host} in NO_PROXY to connect without it."
        if self._aborted:
            return EgressError(f"{place} did not finish its answer in {self._timeout:g} s", hint=hint)
        untrusted = isinstance(cause, ssl.SSLCertVerificationError)
        if untrusted:
            hint = "If an authority of your own signs it, run: export SSL_CERT_FILE=PATH of its certificates."
        reason = f"{type(cause).__name__}: {cause}"[:_LONGEST_REASON]
        return EgressError(f"{place} did not answer: {reason}", hint=hint, final=untrusted)


def _refused(proxy: Proxy, route: Route, answer: str) -> EgressError:
    """Return the error for a proxy that answered for itself: a status, and its words."""
    status = int(answer.partition(" ")[0])
    if status == _AUTHENTICATE:
        problem = "refuses that user and password" if proxy.user else "asks for a user and a password"
        place = f"{proxy.scheme}://USER:PASSWORD@{bracketed(proxy.host)}:{proxy.port}"
        hint = f"Write them percent-encoded: export {proxy.variable}={place}"
        return EgressError(f"the proxy {proxy} {problem} ({status})", hint=hint, final=True)
    return EgressError(
        f"the proxy {proxy} does not connect to {route}: {answer}".rstrip(),
        hint=f"Have its owner allow that, or list {route.host} in NO_PROXY to connect without it.",
        final=status < _SERVER_ERROR,
    )


class _Stream(httpcore.NetworkStream):
    """A stream whose TLS asks for an IPv6 address without its brackets."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self.read, self.write, self.close = stream.read, stream.write, stream.close  # type: ignore[method-assign]
        self.get_extra_info = stream.get_extra_info  # type: ignore[method-assign]

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Begin TLS."""
        name = (server_hostname or "").removeprefix("[").removesuffix("]")
        return _Stream(self._stream.start_tls(ssl_context, name, timeout))
