"""`Privacy`: what a project's configuration says of personal data, with its key."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, cast

from mlopsfw.kernel.base.errors import UnknownName
from mlopsfw.privacy.treatments import Mark, Treatment, strictest

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.data.datasets import DatasetVersion
    from mlopsfw.models.registry import ModelVersion
    from mlopsfw.privacy.requests import Requests
    from mlopsfw.project.facade import Project


class Privacy:
    """The marked columns of a project.

    Args:
        project: Its `[data.NAME] pii` and `[privacy]` say what is marked.
    """

    def __init__(self, project: Project) -> None:
        self._project, self._config, self._secrets = project, project.config, project.secrets

    @cached_property
    def key(self) -> bytes:
        """The key of keyed hashes; empty where none is named."""
        reference = self._config.privacy.key
        if not reference:
            return b""
        from mlopsfw.kernel.store.vault import parse_key

        return parse_key(self._secrets.resolve(reference), reference)

    def marks(self, dataset: str) -> dict[str, Mark]:
        """Return the marked columns of a dataset."""
        found = self._config.data.get(dataset)
        return dict(found.pii) if found else {}

    @property
    def everywhere(self) -> dict[str, Mark]:
        """The columns that any dataset marks, each with its strictest mark: what is captured may be of any of them."""
        return strictest(each.pii for each in self._config.data.values())

    def learned(self, version: ModelVersion) -> dict[str, Mark]:
        """Return how the datasets that a model was made from were treated when they were taken in: what it is asked must be the same."""
        return strictest(found.pii for ref in version.datasets if (found := self._known(ref)))

    def _known(self, ref: str) -> DatasetVersion | None:
        try:
            return self._project.datasets.resolve(ref)
        except UnknownName:  # a model that came from elsewhere names what lies there
            return None

    def requests(self, learned: Mapping[str, Mark]) -> Requests:
        """Return how an endpoint treats requests whose model learned from data treated so."""
        from mlopsfw.privacy.requests import Requests

        return Requests(self.treatment(learned), self.treatment(self.everywhere))

    def rows(self, version: ModelVersion, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows from outside as the model's training data was treated."""
        import polars as pl

        treatment = self.treatment(self.learned(version))
        if not treatment.marks:
            return rows
        treated = [pl.from_arrow(batch) for batch in treatment.batches(rows.to_arrow().to_batches())]
        return pl.concat(cast("list[pl.DataFrame]", treated)) if treated else rows

    def treatment(self, marks: Mapping[str, Mark]) -> Treatment:
        """Return the treatment that gives columns their marks. Raise `ConfigError` where it needs a key and there is none."""
        return Treatment(marks, self.key if "hash" in marks.values() else b"")
