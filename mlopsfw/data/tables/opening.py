"""Open the files of a table wherever its storage keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopsfw.data.tables.files import TableFiles
from mlopsfw.data.tables.objects import ObjectFiles
from mlopsfw.kernel.base.clock import SystemClock

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.host import Clock
    from mlopsfw.kernel.store.table_locations import TableLocations


def open_files(tables: TableLocations, name: str, clock: Clock | None = None) -> TableFiles:
    """Return the files of the table `name`, as objects of the storage if it has no place for tables.

    Args:
        tables: Returns the tables' locations.
        name: The table.
        clock: Stamps the files.

    Raises:
        TablesUnsupported: The storage encrypts blobs, and nothing says that tables are encrypted, too.
    """
    location, clock = tables.find(name), clock or SystemClock()
    if location.uri:
        return TableFiles(location, clock)
    return ObjectFiles(location, clock, tables.storage, tables.copies / name)
