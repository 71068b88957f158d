"""`PersonalColumns`: how a model's training data was treated, so that requests and labels get the same treatment."""

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
        """Return the treatment of the datasets from which a model was made. Requests must get the same one."""
        return strictest(config.pii for ref in version.datasets if (config := self._known(ref)))

    def _known(self, ref: str) -> DatasetVersion | None:
        try:
            return self._datasets.resolve(ref)
        except UnknownName:  # a model from elsewhere names datasets that are not here
            return None

    def treatment(self, version: ModelVersion) -> Treatment:
        """Return the treatment of a model's training data. Raise `ConfigError` if it needs a key and there is none."""
        return self._privacy.treatment(self.learned(version))

    def rows(self, version: ModelVersion, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows, treated like the model's training data."""
        return treated(self.treatment(version), rows)


def treated(treatment: Treatment, rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows with their personal columns treated."""
    import polars as pl

    if not treatment.marks:
        return rows
    parts = [pl.from_arrow(batch) for batch in treatment.batches(rows.to_arrow().to_batches())]
    return pl.concat(cast("list[pl.DataFrame]", parts)) if parts else rows
