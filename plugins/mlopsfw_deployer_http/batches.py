"""Long requests: computed on one thread in short bursts, so that short requests are answered in between, and refused when too many wait.

Every burst is started by the event loop, which serves whatever has arrived before it starts the next one.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from mlopsfw_deployer_http.message import Answer, Refusal, Request
from mlopsfw_deployer_http.pieces import Steps

BUSY = Refusal(503, "too many long requests are in progress; try again", headers=b"retry-after: 1\r\n")
_BURST = 0.002  # seconds after which a burst takes no further step
_SEATS = 4  # requests that take turns with the longest one; the others wait in the order of their arrival, undecoded
_MEDIUM = (
    1 / 8
)  # of the greatest length: longer bodies take a great deal of memory decoded, so that each waits for the one before
_ROOM = 8  # bodies of the greatest length that may be held at a time


class Service(Protocol):
    """Answers long requests."""

    def answer_in_steps(self, request: Request) -> Steps[Answer]:
        """Return the answer; never raises."""
        ...


class Batches:
    """The long requests of one event loop.

    Args:
        service: Answers them.
        longest: The most bytes of one body.
        most: The most seconds to compute one answer. A client whose request takes longer gets a 413.
    """

    def __init__(self, service: Service, longest: int, most: float = 60.0) -> None:
        self._service, self._free, self._medium = service, _ROOM * longest, _MEDIUM * longest
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batch")
        self._seats, self._only_seat, self._turn = asyncio.Semaphore(_SEATS), asyncio.Lock(), asyncio.Lock()
        self._most, self._since = most, 0.0  # since: when the current burst began

    def hold(self, size: int) -> bool:
        """Count bytes of a body from their arrival on; return whether there is room for them."""
        if size > self._free:
            return False
        self._free -= size
        return True

    def release(self, size: int) -> None:
        """Stop counting bytes, whose answer the client has read."""
        self._free += size

    async def answer(self, request: Request) -> Answer:
        """Return the answer to a long request. Cancelled, it takes no further burst."""
        spent = 0.0
        async with self._seats if len(request.body) <= self._medium else self._only_seat:
            steps = self._service.answer_in_steps(request)
            while True:
                async with self._turn:  # first come, first served: requests take turns
                    loop = asyncio.get_running_loop()
                    answer, spent = await loop.run_in_executor(self._pool, self._burst, steps, spent)
                if answer is not None:
                    return answer

    def _burst(self, steps: Steps[Answer], spent: float) -> tuple[Answer | None, float]:
        self._since = begun = time.monotonic()
        try:
            if spent > self._most:
                steps.throw(Refusal(413, f"its answer takes more than {self._most:g} s to compute; send fewer rows"))
            while time.monotonic() - begun < _BURST:
                next(steps)
        except StopIteration as end:
            return end.value, spent
        finally:
            self._since = 0.0
        return None, spent + time.monotonic() - begun

    @property
    def computing(self) -> float:
        """Seconds that the current burst has taken; 0 between bursts. It ends with a step, so that only a stuck one takes long."""
        since = self._since
        return time.monotonic() - since if since else 0.0

    def close(self) -> None:
        """Wait for the current burst. Nothing is computed afterwards."""
        self._pool.shutdown()
