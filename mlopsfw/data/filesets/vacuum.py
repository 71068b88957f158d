"""Delete the bytes of file sets that no version needs any more: blobs of vacuumed versions, with their indexes.

Other sets, or a step's value, may have a blob of the same bytes, so only blobs that `gc` would delete are deleted. The rules of `gc` hold, too:
somebody may be about to name a stored blob, so one younger than two days waits for the next vacuum or `gc`.

"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from mlopsfw.data.datasets.removal.unneeded_blobs import UnneededBlobs
from mlopsfw.data.datasets.versions import fold, indexes
from mlopsfw.data.filesets import index
from mlopsfw.kernel.base.errors import Conflict
from mlopsfw.kernel.store.blobs import entry_of, key_of
from mlopsfw.operations import gc

if TYPE_CHECKING:
    from mlopsfw.data.datasets.versions import DatasetVersion, History
    from mlopsfw.kernel.services import Services
    from mlopsfw.kernel.store.vault import Vault

_DATASETS = "dataset/"


class FileSetRemoval:
    """Finds and deletes the bytes that only certain versions of a set need.

    Args:
        services: The kernel's services.
        vault: Decrypts encrypted blobs; None without encryption.
    """

    def __init__(self, services: Services, vault: Vault | None) -> None:
        self._services, self._vault = services, vault

    def only_in(self, versions: Iterable[DatasetVersion], history: History) -> UnneededBlobs:
        """Return the blobs that only these versions of a set need; none for a table."""
        numbers = {version.version for version in versions}
        live_indexes = {
            version.index for version in history.versions if version.live and version.version not in numbers
        }
        indexes = sorted({history.get(number).index for number in numbers} - live_indexes - {""})
        listings = {
            digest: listing
            for digest in indexes
            if (listing := index.reachable(digest, self._services.blobs)) is not None
        }
        if not listings:
            return UnneededBlobs([], [])
        segments = {segment for listing in listings.values() for segment in listing.segments}
        blobs = {blob for listing in listings.values() for blob in listing.blobs}
        refs = [history.get(number).ref for number in numbers]
        released = {"": self.released(refs)}
        going = gc.unneeded(self._services.ledger, {*blobs, *segments, *listings}, self._vault, released)
        by_key = {entry.key: entry for entry in going}
        unneeded = [
            [by_key[key] for key in map(key_of, sorted(names)) if key in by_key]
            for names in (blobs, segments, listings)
        ]
        return UnneededBlobs(unneeded[0], [*unneeded[1], *unneeded[2]])

    def released(self, going: Iterable[str] = ()) -> set[str]:
        """Return the indexes that no live version has, assuming that the versions `going` (exact references) are removed."""
        named, live_indexes, removed, ledger = set[str](), set[str](), set(going), self._services.ledger
        for stream in ledger.streams(_DATASETS):
            events = list(ledger.stream(stream).events())
            named |= set(indexes(events))
            versions = fold(stream.removeprefix(_DATASETS), events).versions
            live_indexes |= {version.index for version in versions if version.live and version.ref not in removed}
        return named - live_indexes

    def limit(self) -> float:
        """Return the moment, by the store's clock, before which a blob must have been stored to be deleted."""
        return gc.store_time(self._services.storage) - gc.SAFE

    def remove(self, unneeded: UnneededBlobs) -> None:
        """Delete the blobs that may go now, an index after the blobs it names. If a `gc` is running, the next one deletes them."""
        if not any(unneeded):
            return
        now, _ = unneeded.split(self.limit())
        with suppress(Conflict):
            list(gc.delete(self._services.storage, now, gc.store_time(self._services.storage)))
        self._services.blobs.doubt()

    def whole(self, version: DatasetVersion) -> bool:
        """Return whether all the blobs of a version exist; true for a table, which has none."""
        if not version.index:
            return True
        listing = index.reachable(version.index, self._services.blobs)
        return listing is not None and all(
            entry_of(self._services.storage, each) for each in (*listing.blobs, *listing.segments)
        )
