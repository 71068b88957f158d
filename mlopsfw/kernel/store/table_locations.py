"""Where tables lie; refused where blobs are encrypted and nobody says that tables are, too."""

from __future__ import annotations

from mlopsfw.kernel.base.errors import TablesUnsupported
from mlopsfw.kernel.config.model import Encryption
from mlopsfw.kernel.roles.storage import Storage, TableLocation


class TableLocations:
    """The tables of one storage.

    Args:
        storage: Where they are.
        encryption: What is declared of the storage. Polars and delta-rs read no encrypted Parquet, so a table is never
            encrypted by us.
    """

    def __init__(self, storage: Storage, encryption: Encryption = Encryption()) -> None:  # noqa: B008 - it is frozen
        self._storage, self._encryption = storage, encryption

    def find(self, name: str) -> TableLocation:
        """Return where the table `name` lies. Raise `TablesUnsupported`."""
        if self._encryption.encrypt and not self._encryption.tables:
            raise TablesUnsupported(
                f"the storage encrypts blobs, but it cannot encrypt the table {name!r}",
                hint='Keep the store on an encrypted disk or bucket, and write [storage] tables = "encrypted-disk".',
            )
        location = self._storage.table_location(name)
        if location is None:
            raise TablesUnsupported(
                f"{self.describe()} cannot hold tables", hint="Use the storage 'object', or another that can."
            )
        return location

    def describe(self) -> str:
        """Return where this is, for people."""
        return self._storage.describe()
