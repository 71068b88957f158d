"""Score a file with a registered model, without a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mlopsfw.models.bundle.scoring import NO_EXTRAS, Extras
from mlopsfw.operations.scratch import scratch_folder

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.data.intake.formats import Formats
    from mlopsfw.kernel.roles.reading import ReadOptions
    from mlopsfw.kernel.services import Services
    from mlopsfw.models.bundle import BundleStore
    from mlopsfw.models.registry import Registry
    from mlopsfw.models.registry.personal_columns import PersonalColumns


class OfflineScorer:
    """Scores files with the models of a project.

    Args:
        services: The kernel's services.
        models: The registered models.
        bundles: Opens their bundles.
        personal: Treats rows as training did.
        formats: The formats that read files.
    """

    def __init__(
        self, services: Services, models: Registry, bundles: BundleStore, personal: PersonalColumns, formats: Formats
    ) -> None:
        self._services, self._models, self._bundles, self._personal = services, models, bundles, personal
        self._formats = formats

    def score_file(
        self,
        model: str,
        file: Path,
        options: ReadOptions | None = None,
        sheet: str = "",
        check: Callable[[Mapping[str, pl.DataType]], None] = lambda _columns: None,
        *,
        flat: bool = False,
        extras: Extras = NO_EXTRAS,
    ) -> pl.DataFrame:
        """Return the rows of `file` with the outputs of `model` beside them.

        Args:
            model: `models:/name@alias`.
            file: The rows, as for `mlopsfw.models.bundle.scoring.rows_for`. Texts of CSV are read as the model's
                signature has them.
            options: The format of the file.
            sheet: The sheet of a workbook.
            check: Is given the columns of the rows before they are scored, and raises if they are of no use.
            flat: Whether each class has a column of its own, as a CSV file needs.
            extras: What to add beside the outputs.

        Raises:
            DataError: The file cannot be read, or has a column called as an output of the model.
            SignatureMismatch: Its rows do not fit the model.
            UsageError: The model has no intervals, or too few calibration rows for so small an alpha; or its answers cannot be explained.
        """
        from mlopsfw.models.bundle.scoring import (
            added_names,
            by_class,
            check_names,
            extra_names,
            rows_for,
            score,
            with_class,
        )

        version = self._models.resolve(model)
        with scratch_folder(self._services.workspace) as scratch:
            folder = self._services.blobs.get_folder(version.bundle, scratch / "bundle")
            bundle = self._bundles.open(folder, f"{version.name}@{version.version}")
            rows = rows_for(self._formats, bundle.manifest.inputs, file, options, sheet)
            extra = extra_names(bundle.manifest, extras)
            check_names(rows.columns, [*added_names(bundle.manifest), *extra])
            check(rows.schema)
            asked = self._personal.rows(version, rows)
            scored = score(bundle, asked, extras)
            if not rows.height:
                return rows
            outputs = scored.select(*(output.name for output in bundle.manifest.outputs), *extra)
            answers = with_class(rows.with_columns(outputs), bundle.manifest)
            return by_class(answers, bundle.manifest) if flat else answers
