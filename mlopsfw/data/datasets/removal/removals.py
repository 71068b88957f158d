"""Work on a dataset's files while others remove some: an erasure or a vacuum may delete a file at any time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from mlopsfw.data.datasets.store import VersionStore

T = TypeVar("T")


def outlasting(datasets: VersionStore, name: str, act: Callable[[], T]) -> T:
    """Return the result of `act`, which reads the history again and changes nothing that counts before it succeeds.

    If it fails and files of the dataset `name` were removed meanwhile, it is called again; otherwise its error is raised.
    """
    while True:
        removals = datasets.history(name).removals
        try:
            return act()
        except Exception:
            if datasets.history(name).removals == removals:
                raise
