"""`ProjectTables`: the tables of a project by name and by location, for `export` and `import`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlopsfw.data.tables.files import TableFiles

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.storage import TableLocation
    from mlopsfw.project.wiring import Wiring


class ProjectTables:
    """Implements `mlopsfw.operations.table_copy.TableAccess`.

    Args:
        parts: The project's parts.
    """

    def __init__(self, parts: Wiring) -> None:
        self._parts = parts

    def names(self) -> Iterator[str]:
        """Yield the names of the tables that components keep."""
        for component in self._parts.components:
            if component.tables is not None:
                yield from component.tables()

    def folder(self, location: TableLocation) -> TableFiles:
        """Return the files at a location."""
        return TableFiles(location, self._parts.clock)
