"""What doctor asks about a project: each question with the parts that it takes, which are made when it is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from mlopsfw.data.datasets import diagnosis
from mlopsfw.operations import checks
from mlopsfw.operations.doctor import Question

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.check import Diagnosis
    from mlopsfw.project.wiring import Wiring


def questions(parts: Wiring) -> Iterator[Question]:
    """Yield what is asked, in this order; the questions of plugins last."""
    yield Question(
        "machine",
        "This machine has room, and the project's state is private",
        lambda: checks.machine(parts.workspace),
    )
    yield Question("startup", "What runs code whenever Python starts", checks.startup_files)
    yield Question(
        "storage",
        "The storage answers and keeps its contract",
        lambda: checks.storage_contract(parts.storage, parts.clock),
    )
    yield Question(
        "encryption",
        "The key opens the keyring, and no older ring is left",
        lambda: checks.encryption(parts.vault),
    )
    yield Question("erasures", "What was to be erased is erased", lambda: _erasures(parts))
    yield Question("ledger", "Every event follows the one before it", lambda: checks.ledger_chain(parts.storage))
    yield Question(
        "references", "What events refer to is there", lambda: checks.references(parts.storage, parts.ledger)
    )
    yield Question(
        "datasets",
        "The files of every dataset are there, its Delta log is up, references are unchanged",
        lambda: diagnosis.examine(parts.datasets),
    )
    yield from _thorough(parts)
    yield Question(
        "plugins",
        "Every selected provider is installed and can be loaded",
        lambda: checks.selected_providers(parts.plugins, parts.config),
    )
    for claim, check in parts.plugins.checks():
        yield Question(check.name, check.summary, partial(check.run, parts.host(claim.key)))


def _erasures(parts: Wiring) -> Iterable[Diagnosis]:
    return parts.erasures.diagnose()


def _thorough(parts: Wiring) -> Iterator[Question]:
    yield Question("blobs", "Every blob matches its digest", lambda: checks.blob_digests(parts.blobs), thorough=True)
    yield Question(
        "rows",
        "Every dataset version still has the rows of its digest",
        lambda: diagnosis.verify(parts.datasets),
        thorough=True,
    )
    yield Question(
        "index",
        "The index says what the ledger says",
        lambda: checks.index_content(parts.index, parts.workspace),
        thorough=True,
    )
