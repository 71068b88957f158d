"""The worker process: takes specs from its standard input, runs them one after the other, and writes results.

It ends when its input does, in the middle of a step too: a coordinator that was killed leaves no worker behind. SIGTERM asks the
running step to stop, by `KeyboardInterrupt`, so that it can write its last checkpoint.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from queue import SimpleQueue
from typing import IO

from mlopsfw.roles import interrupt
from mlopsfw_engine_local.protocol import receive, send


def main() -> None:
    """Serve until the input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    specs = os.fdopen(os.dup(0), "rb")
    _detach_standard_streams()
    waiting: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(specs, waiting), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's to handle
    signal.signal(signal.SIGTERM, interrupt)
    from mlopsfw.worker import execute

    while True:
        try:
            frame = waiting.get()
        except KeyboardInterrupt:
            os._exit(0)  # asked to stop with nothing to do
        send(answers, execute(frame))


def _listen(pipe: IO[bytes], waiting: SimpleQueue[bytes]) -> None:
    while (frame := receive(pipe)) is not None:
        waiting.put(frame)
    os._exit(1)  # the coordinator is gone, and nobody would take the result


def _detach_standard_streams() -> None:
    """Keep stray reads and prints away from the protocol's pipes."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115 - open for as long as the process lives


if __name__ == "__main__":
    main()
