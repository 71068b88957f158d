"""`PersonalColumns`: how the data that a model learned from was treated, for what the model is asked and told later."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from mlopsfw.kernel.base.errors import UnknownName
from mlopsfw.privacy.treatments import Mark, Treatment, strictest

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.data.datasets import Datasets, DatasetVersion
    from mlopsfw.models.registry import ModelVersion
    from mlopsfw.privacy.marks import Privacy


class PersonalColumns:
    """The personal columns of models.

    Args:
        datasets: The datasets that models were made from.
        privacy: Has the key of keyed hashes.
    """

    def __init__(self, datasets: Datasets, privacy: Privacy) -> None:
        self._datasets, self._privacy = datasets, privacy

    def learned(self, version: ModelVersion) -> dict[str, Mark]:
        """Return how the datasets that a model was made from were treated when they were taken in: what it is asked must be the same."""
        return strictest(config.pii for ref in version.datasets if (config := self._known(ref)))

    def _known(self, ref: str) -> DatasetVersion | None:
        try:
            return self._datasets.resolve(ref)
        except UnknownName:  # a model that came from elsewhere names what lies there
            return None

    def treatment(self, version: ModelVersion) -> Treatment:
        """Return the treatment that a model's training data had. Raise `ConfigError` where it needs a key and there is none."""
        return self._privacy.treatment(self.learned(version))

    def rows(self, version: ModelVersion, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows from outside as the model's training data was treated."""
        import polars as pl

        treatment = self.treatment(version)
        if not treatment.marks:
            return rows
        treated = [pl.from_arrow(batch) for batch in treatment.batches(rows.to_arrow().to_batches())]
        return pl.concat(cast("list[pl.DataFrame]", treated)) if treated else rows
