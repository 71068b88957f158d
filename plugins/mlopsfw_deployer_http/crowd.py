"""Which connections to close when there are too many: those that wait for no answer, the longest idle first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlopsfw_deployer_http.connection import Connection

_SLOW = 1.0  # seconds after which an incomplete request counts as slow


def victims(connections: Iterable[Connection], now: float, count: int) -> list[Connection]:
    """Return at most `count` connections to close, the least valuable first.

    The order: connections whose last answer is sent; those that do not read; those that never sent a request; slow requests; idle ones that
    have sent requests; requests that have just begun to arrive. A connection that waits for an answer is never among them.
    """
    ranked = [(rank, each.since, id(each), each) for each in connections if (rank := _rank(each, now)) is not None]
    ranked.sort()
    return [each for _, _, _, each in ranked[:count]]


def _rank(connection: Connection, now: float) -> int | None:
    if connection.finished and not connection.unsent:
        return 0
    if connection.blocked:
        return 1
    if connection.unsent:
        return None
    if connection.in_message:
        return 3 if now - connection.since > _SLOW else 5
    return 4 if connection.asked else 2
