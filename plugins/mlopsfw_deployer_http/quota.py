"""Quotas on labels: per request, per client and second, and for all clients together. Knows no labels."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from mlopsfw_deployer_http.message import Refusal

_CLIENTS = 4096  # most remembered clients; beyond, the one that was silent longest is forgotten
_TOGETHER = 8  # the quota of all clients together, as a multiple of one client's
_NETWORK = 64  # bits of an IPv6 address that a client cannot choose


class Quota:
    """Counts labels by token buckets: a client may send one full request at once, and then its rate per second. Thread-safe.

    Args:
        most: The most labels of one request.
        rate: Labels a second of one client; 0 for no limit. All clients together may send eight times that.
        now: A clock that never goes back.
    """

    def __init__(self, most: int, rate: float, now: Callable[[], float] = time.monotonic) -> None:
        self._most, self._rate, self._now = most, rate, now
        self._used: OrderedDict[str, tuple[float, float]] = (
            OrderedDict()
        )  # client → labels that still count, and the time of the count
        self._all = (0.0, now())
        self._lock = Lock()

    def take(self, client: str, labels: int) -> None:
        """Count `labels` of a client, named by its address.

        Raises:
            Refusal: 413 if there are too many for one request; 429, with the time of the next try, if the quota is used up.
        """
        if labels > self._most:
            raise Refusal(413, f"the request holds {labels} labels; send at most {self._most} at a time")
        if self._rate <= 0:
            return
        with self._lock:
            wait = self._take(_network(client), labels)
        if wait > 0:
            raise Refusal(
                429, f"too many labels; send them again in {wait} s, at most {self._rate:g} a second",
                headers=f"retry-after: {wait}\r\n".encode(),
            )  # fmt: skip

    def _take(self, client: str, labels: int) -> int:
        """Count, or return the seconds to wait."""
        now = self._now()
        used = self._left(self._used.get(client, (0.0, now)), self._rate, now)
        together = self._left(self._all, self._rate * _TOGETHER, now)
        over = max(used + labels - self._most, (together + labels) / _TOGETHER - self._most) / self._rate
        if over > 0:
            return math.ceil(over)
        self._used[client], self._all = (used + labels, now), (together + labels, now)
        self._used.move_to_end(client)
        if len(self._used) > _CLIENTS:
            self._used.popitem(last=False)
        return 0

    @staticmethod
    def _left(use: tuple[float, float], rate: float, now: float) -> float:
        labels, then = use
        return max(labels - (now - then) * rate, 0.0)


def _network(address: str) -> str:
    """Return the part of a client's address that it cannot choose: for IPv6 the first 64 bits."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, _NETWORK), strict=False))
