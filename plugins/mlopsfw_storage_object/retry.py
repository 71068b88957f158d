"""Bounded, jittered retries. What is worth another try is the caller's to say."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from mlopsfw.errors import StorageUnavailable

T = TypeVar("T")

_FIRST, _LONGEST = 0.05, 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Retries:
    """How often, and for how long in all, a request is tried.

    Args:
        attempts: Tries in all.
        budget: Seconds from the first try after which no further one begins.
    """

    attempts: int
    budget: float

    def run(self, request: Callable[[], T], where: str, *, again: type[Exception]) -> T:
        """Return what `request` returns, trying again after `again`; full jitter (Brooker 2015), so that many do not retry at once.

        Raises:
            StorageUnavailable: No try succeeded; the last failure is the cause.
        """
        end = time.monotonic() + self.budget
        for attempt in range(1, self.attempts + 1):
            try:
                return request()
            except again as error:
                pause = random.uniform(0, min(_LONGEST, _FIRST * 2**attempt))  # noqa: S311 - jitter, not a secret
                if attempt == self.attempts or time.monotonic() + pause > end:
                    raise StorageUnavailable(
                        f"{where} failed {attempt} times: {error}",
                        hint="Check the endpoint and the network, then try again.",
                    ) from error
                time.sleep(pause)
        raise AssertionError("attempts must be at least 1")
