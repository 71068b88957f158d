"""Which connections to close when there are too many: those that wait for no answer, the longest idle first.

Clients that send one request after the other keep their connections, and a new one has a moment to send its first: otherwise many busy
clients would close each other's connections, and few would be answered. Where most connections are silent, none of them has that moment.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlopsfw_deployer_http.connection import Connection

_SLOW = 1.0  # seconds after which an incomplete request counts as slow
_BUSY = 0.25  # seconds for which a client that has sent several requests counts as busy
_NEW = 0.1  # seconds that a new connection has for its first request


def victims(connections: Iterable[Connection], now: float, count: int) -> list[Connection]:
    """Return at most `count` connections to close, the least valuable first.

    The order: connections whose last answer is sent; those that do not read; those that never sent a request; slow requests; idle ones that
    have sent requests; requests that have just begun to arrive. A connection that waits for an answer is never among them, nor is that of
    a busy client, or a new one where fewer than half of all are new.
    """
    listed = list(connections)
    new = {id(each) for each in listed if not (each.asked or each.in_message) and now - each.since < _NEW}
    spared = new if 2 * len(new) < len(listed) else frozenset[int]()
    left = (each for each in listed if id(each) not in spared)
    ranked = [(rank, each.since, id(each), each) for each in left if (rank := _rank(each, now)) is not None]
    ranked.sort()
    return [each for _, _, _, each in ranked[:count]]


def _rank(connection: Connection, now: float) -> int | None:
    if connection.finished and not connection.unsent:
        return 0
    if connection.blocked:
        return 1
    if connection.unsent:
        return None
    age, several = now - connection.since, connection.asked > 1
    if connection.in_message:
        return 3 if age > _SLOW else None if several else 5
    if several and age < _BUSY:
        return None
    return 4 if connection.asked else 2
