"""`Services`: what the kernel gives every component of a project, and all that it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlopsfw.kernel.ledger import Ledger
    from mlopsfw.kernel.roles.host import Clock, Secrets
    from mlopsfw.kernel.roles.storage import Storage
    from mlopsfw.kernel.store.blobs import BlobStore
    from mlopsfw.kernel.store.table_locations import TableLocations
    from mlopsfw.kernel.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The kernel's part of a project. A component names in its constructor what else it uses.

    Args:
        project: The project's name.
        actor: Returns who acts, as it is written into every event.
        storage: Bytes under keys.
        ledger: Everything that happened.
        blobs: Content-addressed bytes.
        tables: Where tables lie. Reading and writing them is `mlopsfw.data.tables`'.
        clock: Time.
        secrets: Secret references.
        workspace: The project's folder on this machine.
    """

    project: str
    actor: Callable[[], str]
    storage: Storage
    ledger: Ledger
    blobs: BlobStore
    tables: TableLocations
    clock: Clock
    secrets: Secrets
    workspace: Workspace
