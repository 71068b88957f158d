"""The component `filesets`: datasets with bytes beside their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from mlopsfw.kernel.component import Component

if TYPE_CHECKING:
    from mlopsfw.data.filesets.catalog import FileSets
    from mlopsfw.kernel.component import Holding


def component(filesets: Callable[[], FileSets]) -> Component:
    """Return the component. It reads the sets only when it is used."""
    from mlopsfw.data.filesets.holding import FileSetHolding

    def holdings() -> Iterable[Holding]:
        return (FileSetHolding(filesets()),)

    def released() -> Iterable[str]:
        return filesets().removal.released()

    return Component(name="filesets", holdings=holdings, released=released)
