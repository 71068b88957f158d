"""Threads as the processes of one torch training, so that a test of several needs no process."""

import threading

from mlopsfw.testing.training import Context
from mlopsfw_trainer_torch.checkpoint import Checkpoints


class ThreadPeer:
    """One of two threads. Both share `totals`, a place for the values of each, and a barrier."""

    count = 2

    def __init__(self, rank, totals, barrier):
        self.rank, self._totals, self._barrier = rank, totals, barrier

    def add(self, values):
        self._totals[self.rank] = values.clone()
        self._barrier.wait()
        total = self._totals[0] + self._totals[1]
        self._barrier.wait()
        values.copy_(total)


def two_peers():
    totals, barrier = [None, None], threading.Barrier(2, timeout=60)
    return [ThreadPeer(rank, totals, barrier) for rank in range(2)]


def run_side_by_side(trainings, folder):
    """Run each training in a thread of its own to the end."""
    threads = []
    for number, training in enumerate(trainings):
        arguments = Context.under(folder, str(number)), Checkpoints(folder / f"k{number}", "k")
        threads.append(threading.Thread(target=training.run, args=arguments))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
