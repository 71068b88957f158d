"""What doctor asks about a project: each question with the parts that it takes, which are made when it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlopsfw.kernel.roles.check import Check
from mlopsfw.operations import checks

if TYPE_CHECKING:
    from mlopsfw.project.wiring import Wiring


def questions(parts: Wiring) -> Iterator[Check]:
    """Yield what is asked, in this order."""
    yield Check(
        "machine",
        "This machine has room, and the project's state is private",
        lambda: checks.machine(parts.workspace),
    )
    yield Check("startup", "What runs code whenever Python starts", checks.startup_files)
    yield Check(
        "storage",
        "The storage answers and keeps its contract",
        lambda: checks.storage_contract(parts.storage, parts.clock),
    )
    yield Check(
        "encryption",
        "The key opens the keyring, and no older ring is left",
        lambda: checks.encryption(parts.vault),
    )
    yield Check("ledger", "Every event follows the one before it", lambda: checks.ledger_chain(parts.storage))
    yield Check("references", "What events refer to is there", lambda: checks.references(parts.storage, parts.ledger))
    for component in parts.components:
        yield from component.checks
    yield from _thorough(parts)
    yield Check(
        "plugins",
        "Every selected provider is installed and can be loaded",
        lambda: checks.selected_providers(parts.plugins, parts.config),
    )


def _thorough(parts: Wiring) -> Iterator[Check]:
    yield Check("blobs", "Every blob matches its digest", lambda: checks.blob_digests(parts.blobs), thorough=True)
    yield Check(
        "index",
        "The index says what the ledger says",
        lambda: checks.index_content(parts.index, parts.workspace),
        thorough=True,
    )
