"""Work on a dataset's files while others remove some: an erasure or a vacuum may take what was just looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from mlopsfw.data.datasets.store import VersionStore

T = TypeVar("T")


def outlasting(datasets: VersionStore, name: str, act: Callable[[], T]) -> T:
    """Return what `act` returns, which reads the history anew and changes nothing that counts before it succeeds.

    It is called again where it failed and files of the dataset `name` were put out of use meanwhile; else its error is raised.
    """
    while True:
        removals = datasets.history(name).removals
        try:
            return act()
        except Exception:
            if datasets.history(name).removals == removals:
                raise
