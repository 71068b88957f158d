"""Results by cache key, one stream for each key, so that any run, process or node finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopsfw.kernel.base.errors import Erased, UnknownName, Vacuumed
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.kernel.store.blobs import entry_of
from mlopsfw.pipeline.cache.events import Result

if TYPE_CHECKING:
    from mlopsfw.data.datasets import Datasets
    from mlopsfw.kernel.services import Services


class Results:
    """The cached results of a project's steps.

    Args:
        services: The kernel's services.
        datasets: Tells whether a dataset's version is still kept.
    """

    def __init__(self, services: Services, datasets: Datasets) -> None:
        self._ledger, self._storage, self._datasets = services.ledger, services.storage, datasets

    def find(self, key: str) -> Result | None:
        """Return the cached result of `key`, or None if there is none or one of its values is no longer stored."""
        result = None
        for event in self._ledger.stream(f"step/{key}").events():
            result = Result.of(event)
        return result if result and all(self.is_stored(a) for a in result.outputs.values()) else None

    def keep(self, key: str, result: Result) -> None:
        """Store a result under `key`. It replaces an earlier one; an equal one adds nothing."""
        stream = self._ledger.stream(f"step/{key}")
        known = None
        for event in stream.events():
            known = Result.of(event)
        if known is None or known.outputs != result.outputs:
            stream.append(result)

    def is_stored(self, artifact: Artifact) -> bool:
        """Return whether the storage still has the bytes behind a reference."""
        return not self.missing(artifact)

    def missing(self, artifact: Artifact) -> str:
        """Return why the storage lacks the bytes behind a reference; empty where it has them."""
        if artifact.kind == "dataset":
            return self._incomplete(artifact)
        if artifact.blob and entry_of(self._storage, artifact.blob) is None:
            return f"the {artifact.kind} {artifact.ref or artifact.digest[:12]} is no longer stored"
        return ""

    def _incomplete(self, artifact: Artifact) -> str:
        """Return why a dataset's version has no longer all its rows."""
        try:
            self._datasets.resolve(artifact)
        except (Erased, Vacuumed) as error:
            return error.message
        except UnknownName:  # the reader of the dataset reports it
            return ""
        return ""
