"""Where tables lie; refused where blobs are encrypted and nobody says that tables are, too."""

from __future__ import annotations

from pathlib import Path

from mlopsfw.kernel.base.errors import TablesUnsupported
from mlopsfw.kernel.config.model import Encryption
from mlopsfw.kernel.roles.storage import Storage, TableLocation, check_key


def locate(storage: Storage, name: str) -> TableLocation:
    """Return where the table `name` lies: as objects below `key`, without a `uri`, if the storage has no place."""
    return storage.table_location(name) or TableLocation("", key=f"tables/{check_key(name)}")


class TableLocations:
    """The tables of one storage.

    Args:
        storage: Where they are.
        copies: This machine's folder for copies of tables that lie in the storage as objects. It may be emptied at any
            time when nothing runs.
        encryption: What is declared of the storage. Polars and delta-rs read no encrypted Parquet, so a table is never
            encrypted by us.
    """

    def __init__(self, storage: Storage, copies: Path, encryption: Encryption | None = None) -> None:
        self.storage, self.copies, self._encryption = storage, copies, encryption or Encryption()

    def find(self, name: str) -> TableLocation:
        """Return where the table `name` lies, as `locate` does. Raise `TablesUnsupported`."""
        if self._encryption.encrypt and not self._encryption.tables:
            raise TablesUnsupported(
                f"the storage encrypts blobs, but it cannot encrypt the table {name!r}",
                hint='Keep the store on an encrypted disk or bucket, and write [storage] tables = "encrypted-disk".',
            )
        return locate(self.storage, name)
