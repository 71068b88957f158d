"""A file behind an http or https URL (RFC 9110): asked for only where it changed, resumed by range where its ETag is the same."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urljoin, urlsplit

from mlopsfw.errors import ConfigError, DataError
from mlopsfw.http import AddressRefused, EgressError, Stream, get
from mlopsfw.sources import Dropped, Part, download, shown

if TYPE_CHECKING:
    from mlopsfw.roles import Received

_CHUNK = 1 << 18
_HOPS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_PATIENCE = (408, 425, 429, 500, 502, 503, 504)
_REFUSED = {
    401: "Send the credentials that it needs: --header Authorization=env:NAME.",
    403: "Send the credentials that it needs: --header Authorization=env:NAME.",
    404: "Correct the URL.",
    410: "Correct the URL.",
}
_ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e]{0,200}"')
_DATE = re.compile(r"[A-Za-z]{3}, [\w :-]{15,30} GMT")
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


class HttpFile:
    """A file behind a URL.

    Args:
        url: The URL.
        headers: Sent to its host, and to no other.
        allow_private: Whether it may lead to an address that is not public.
        timeout: Seconds of silence after which a connection counts as dropped.
        suffix_for: Returns the suffix of files of a media type.
    """

    relative = ""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        allow_private: bool,
        timeout: float,
        suffix_for: Callable[[str], str] = lambda _: "",
    ) -> None:
        self._url, self._headers, self._timeout, self._private = url, dict(headers), timeout, allow_private
        self._end, self._facts, self._type, self._packed = url, dict[str, Any](), "", False
        self._opened, self._suffix_for = False, suffix_for

    @property
    def shown(self) -> str:
        """Return the URL, without its query."""
        return shown(self._url)

    @property
    def name(self) -> str:
        """Return the last part of the path, with the suffix that the place it led to, or the media type, gives it."""
        name = _last(self._url)
        if "." not in name:
            name = _last(self._end) if "." in _last(self._end) else name + self._suffix_for(self._type)
        return f"{name}.gz" if self._packed and not name.endswith(".gz") else name

    def facts(self) -> dict[str, Any]:
        """Return `etag`, `modified` and `size`, as far as the server states them."""
        return dict(self._facts)

    def unchanged(self, known: Mapping[str, Any]) -> bool:
        """Return whether the server says so, asked by the ETag, or else the date, of an earlier time."""
        if not known.get("etag") and not known.get("modified"):
            return False
        wanted = {"If-None-Match": known["etag"]} if known.get("etag") else {"If-Modified-Since": known["modified"]}
        try:
            with self._asked(wanted) as stream:
                return stream.status == http.client.NOT_MODIFIED
        except Dropped:
            return False  # `fetch` tries again

    def fetch(self, to: Path, received: Received) -> None:
        """Copy it to the file `to`."""
        download(self, to, self._timeout, received)

    @contextlib.contextmanager
    def open(self, start: int) -> Iterator[Part]:
        """Open it from byte `start` on, or from 0 where the server gives no ranges or no strong ETag to hold it by."""
        etag = self._facts.get("etag", "")
        resume = start > 0 and etag.startswith('"')
        with self._asked({"Range": f"bytes={start}-", "If-Range": etag} if resume else {}) as stream:
            if stream.status == http.client.NOT_MODIFIED or stream.status not in (200, 206, 416):
                raise DataError(f"{self.shown} answered {stream.status}", hint=_REFUSED.get(stream.status, ""))
            if stream.status == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise DataError(
                    f"{self.shown} is shorter than the {self._facts.get('size', 0):,} bytes that it promised"
                )
            yield self._part(stream, start if stream.status == http.client.PARTIAL_CONTENT else 0)

    def _part(self, stream: Stream, start: int) -> Part:
        size = _size(stream)
        if start:
            begins, whole = _range(stream)
            if begins != start:
                raise DataError(f"{self.shown} did not send the requested part after byte {start:,}")
            size = whole
        elif size is None and "chunked" not in stream.headers.get("Transfer-Encoding", "").lower():
            raise DataError(
                f"{self.shown}: the server sends neither length nor end, so that a cut would go unnoticed",
                hint="Download the file in another way, and add the copy.",
            )
        self._remember(stream, size)
        return Part(start, size, self._chunks(stream))

    def _remember(self, stream: Stream, size: int | None) -> None:
        """Keep what tells whether the file changes; raise `DataError` where it has since it was first opened."""
        headers = {
            "etag": _known(stream, "ETag", _ETAG),
            "modified": _known(stream, "Last-Modified", _DATE),
            "size": size,
        }
        facts = {name: value for name, value in headers.items() if value not in ("", None)}
        if self._opened:
            if any(self._facts.get(name, value) != value for name, value in facts.items()):
                raise DataError(f"{self.shown} changed while mlopsfw read it", hint="Nothing was committed. Try again.")
            return
        self._opened, self._facts = True, facts
        self._type = stream.headers.get_content_type()
        coding = stream.headers.get("Content-Encoding", "identity").strip().lower()
        if coding not in ("identity", "", "gzip", "x-gzip"):
            raise DataError(f"{self.shown} is encoded with {coding!r}, although mlopsfw did not ask for it")
        self._packed = coding in ("gzip", "x-gzip")

    def _chunks(self, stream: Stream) -> Iterator[bytes]:
        try:
            while chunk := stream.read(_CHUNK):
                yield chunk
        except EgressError as error:
            raise Dropped(f"the connection dropped: {type(error.__cause__).__name__}") from None

    @contextlib.contextmanager
    def _asked(self, headers: Mapping[str, str]) -> Iterator[Stream]:
        """Yield the answer at the end of all redirects. Raise `Dropped` where another try may do, `DataError`."""
        with contextlib.ExitStack() as stack:
            url, private = self._url, self._private
            for _ in range(_HOPS + 1):
                stream = self._one(stack, url, headers, private=private)
                if stream.status not in _REDIRECTS:
                    self._end = url
                    _check(stream, self.shown, f", or the proxy {stream.proxy} in its stead" if stream.proxy else "")
                    yield stream
                    return
                private = private and not stream.public
                url = self._next(url, stream.headers.get("Location", ""))
            raise DataError(f"{self.shown} leads to more than {_HOPS} redirects")

    def _one(self, stack: contextlib.ExitStack, url: str, headers: Mapping[str, str], *, private: bool) -> Stream:
        own = self._headers if _origin(url) == _origin(self._url) else {}
        wanted = {"Accept-Encoding": "identity", "Accept": "*/*", **headers, **own}
        try:
            stream = get(url, wanted, timeout=self._timeout, allow_private=private, allow_unresolved=self._private)
            return stack.enter_context(stream)
        except EgressError as error:
            if not error.final:
                raise Dropped(error.message, hint=error.hint) from None
            led = isinstance(error, AddressRefused) and self._private and not private
            hint = "A public address redirected to it." if led else error.hint
            raise DataError(error.message, hint=hint) from None
        except ConfigError:  # its words hold the URL, and that may hold a signature
            raise DataError(f"{self.shown} redirects to something other than a plain URL") from None

    def _next(self, url: str, location: str) -> str:
        target = urljoin(url, location)
        if not location or urlsplit(target).scheme not in ("http", "https"):
            raise DataError(f"{self.shown} redirects to something that mlopsfw cannot read")
        if urlsplit(url).scheme == "https" and urlsplit(target).scheme == "http":
            raise DataError(
                f"{self.shown} redirects from https to http", hint="If you mean the http URL, name it directly."
            )
        return target


def _check(stream: Stream, place: str, stead: str) -> None:
    if stream.status in _PATIENCE:
        raise Dropped(f"it answered {stream.status}{stead}", _retry_after(stream.headers.get("Retry-After", "")))
    if stream.status in _REFUSED:
        raise DataError(f"{place} answered {stream.status}{stead}", hint=_REFUSED[stream.status])


def _retry_after(text: str) -> float:
    """Return the seconds that a Retry-After header asks for: a number or a date."""
    if text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return 0.0


def _known(stream: Stream, name: str, form: re.Pattern[str]) -> str:
    """Return a header that will be kept and sent again, empty where it is not of its form."""
    value = stream.headers.get(name, "").strip()
    return value if form.fullmatch(value) else ""


def _size(stream: Stream) -> int | None:
    text = stream.headers.get("Content-Length", "")
    return int(text) if text.isdigit() else None


def _range(stream: Stream) -> tuple[int, int | None]:
    found = _RANGE.fullmatch(stream.headers.get("Content-Range", "").strip())
    return (int(found[1]), int(found[2])) if found else (-1, None)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _last(url: str) -> str:
    return re.sub(r"[^\w.=-]", "_", unquote(urlsplit(url).path).rpartition("/")[2])[-100:].lstrip(".")
