"""Labels: the true outcomes of a model's predictions. The table `labels/<model>` stores them, with all corrections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.base.ids import check_name
from mlopsfw.serving.events import LabelsAdded

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.kernel.config.model import CaptureConfig
    from mlopsfw.kernel.roles.bundle import Manifest
    from mlopsfw.kernel.services import Services
    from mlopsfw.models.registry import ModelVersion, Registry
    from mlopsfw.models.registry.personal_columns import PersonalColumns
    from mlopsfw.serving.label_join import JoinedLabels
    from mlopsfw.serving.label_table import LabelTable


class Labels:
    """The labels of one project's models.

    Args:
        services: The kernel's services.
        models: The registered models.
        personal: Treats labels as the models' training data was treated.
        capture: Which label times are taken.
        table: Where labels are stored.
    """

    def __init__(
        self,
        services: Services,
        models: Registry,
        personal: PersonalColumns,
        capture: CaptureConfig,
        table: LabelTable,
    ) -> None:
        self._services, self._models, self._personal = services, models, personal
        self._capture, self._table = capture, table

    def add(self, model: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Add labels.

        Args:
            model: The model's name.
            rows: Each with `prediction_id`, `label` and, unless it became known now, `label_time` (a `datetime` with zone,
                or RFC 3339). A label that is added later for the same prediction is a correction, whatever its `label_time`.

        Returns:
            How many were added.

        Raises:
            DataError: A row lacks a field, its label is no class of the champion (without one, of the latest version), its time has no zone, or the time lies further from now than
                `[capture]` allows; nothing is added.
        """
        from mlopsfw.capturelog.labels import check_labels
        from mlopsfw.capturelog.times import Bounds, now_micros

        check_name(model, "model")
        version = self._models.model(model).current
        manifest, treatment = self._manifest(version), self._personal.treatment(version)
        bounds, now = Bounds.of(self._capture), now_micros(self._services.clock.now())
        record = check_labels(rows, manifest, treatment.value, bounds, now)
        if not record.ids:
            return 0
        table_version = self._table.append(model, record)
        added = LabelsAdded(rows=len(record.ids), table_version=table_version)
        self._services.ledger.stream(f"labels/{model}").append(added)
        return len(record.ids)

    def scan(self, model: str) -> pl.LazyFrame:
        """Return the labels of `model`, for each id the one that arrived last.

        Returns:
            Columns `prediction_id`, `label` (booleans, whole numbers, numbers or text, as the labels are; text if they are of several
            kinds), `label_time` and `received_time` (microseconds, UTC).
        """
        from mlopsfw.serving.captures.frames import LABEL_COLUMNS
        from mlopsfw.serving.label_join import decoded, last

        rows = last(self._table.stored(model)).select(*LABEL_COLUMNS)
        return rows.with_columns(decoded(rows))

    def of(self, endpoint: str, version: ModelVersion, predictions: pl.DataFrame) -> JoinedLabels:
        """Return the labels of predictions, as classes of the version that made them.

        Args:
            endpoint: The endpoint that made them.
            version: The model's version that made them.
            predictions: Their rows of `Captures.names`.
        """
        from mlopsfw.serving.label_join import join

        labels = self._table.stored(version.name)
        return join(
            predictions, self._table.predictions(version.name, endpoint), labels, endpoint, self._manifest(version)
        )

    def unknown(self, model: str) -> int:
        """Return how many labelled ids belong to no captured prediction of `model`. Such labels are stored, but join nothing."""
        import polars as pl

        labelled, names = (
            self._table.stored(model).select("prediction_id").unique(),
            self._table.predictions(model, model),
        )
        for called in ("id", "name"):
            labelled = labelled.join(names, left_on="prediction_id", right_on=called, how="anti")
        return int(labelled.select(pl.len()).collect().item())

    def _manifest(self, version: ModelVersion) -> Manifest:
        """Return the manifest of a model's version, read only from its blob."""
        from mlopsfw.models.bundle.stored import stored_manifest

        return stored_manifest(self._services.blobs, version.bundle)
