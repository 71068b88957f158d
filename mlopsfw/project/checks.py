"""What doctor asks about a project: each question with the parts that it takes, which are made when it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlopsfw.kernel.component import released
from mlopsfw.kernel.roles.check import Check
from mlopsfw.operations import checks

if TYPE_CHECKING:
    from mlopsfw.project.wiring import Wiring


def questions(parts: Wiring) -> Iterator[Check]:
    """Yield what is asked, in this order."""
    yield from first(parts)
    for component in parts.components:
        yield from component.checks
    yield from last(parts)


def first(parts: Wiring) -> Iterator[Check]:
    """Yield what is asked before components are."""
    yield Check(
        "machine",
        "This machine has free space, and the project's state is private",
        lambda: checks.machine(parts.workspace),
    )
    yield Check("startup", "Which files run code whenever Python starts", checks.startup_files)
    yield Check(
        "storage",
        "The storage answers and keeps its protocol",
        lambda: checks.storage_protocol(parts.storage, parts.clock),
    )
    yield Check(
        "encryption",
        "The key decrypts the keyring, and no older keyring exists",
        lambda: checks.encryption(parts.vault),
    )
    yield Check("ledger", "The hash chain of every stream is intact", lambda: checks.ledger_chain(parts.storage))
    yield Check(
        "references",
        "Every blob that an event refers to exists",
        lambda: checks.references(parts.ledger, released(parts.components), _installed(parts)),
    )


def last(parts: Wiring) -> Iterator[Check]:
    """Yield what is asked after components are: what takes long, and the plugins."""
    yield Check("blobs", "Every blob matches its digest", lambda: checks.blob_digests(parts.blobs), thorough=True)
    yield Check(
        "index",
        "The index agrees with the ledger",
        lambda: checks.index_content(parts.index, parts.workspace),
        thorough=True,
    )
    yield Check(
        "plugins",
        "Every selected provider is installed and can be loaded",
        lambda: checks.selected_providers(parts.plugins, parts.config),
    )


def _installed(parts: Wiring) -> set[str]:
    """Return the plugins that are installed and not disabled, such as `alerter.acme`."""
    catalog = parts.plugins.catalog
    return {claim.key for claim in catalog.claims if not catalog.is_disabled(claim)}
