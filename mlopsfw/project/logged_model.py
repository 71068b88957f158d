"""A notebook's model: its bundle, and the registered one loaded to be asked."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.base.lazy import lazy
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.kernel.roles.bundle import Manifest, OutputColumn
from mlopsfw.models.bundle.loaded import LoadedBundle
from mlopsfw.models.registry.versions import ModelVersion
from mlopsfw.project.facade import Project, opened

if TYPE_CHECKING:
    import polars as pl
else:
    pl = lazy("polars")


class ModelFile(msgspec.Struct, frozen=True, kw_only=True):
    """A model file and what it does; see `start_run.log_model`."""

    file: Path
    format: str
    task: str
    target: str
    classes: tuple[str | int | bool, ...]
    outputs: tuple[OutputColumn, ...]
    metrics: Mapping[str, float]


def stored_bundle(project: Project, folder: Path, model: ModelFile, rows: Any) -> Artifact:
    """Make the bundle of a model file in `folder`, open it as a server would, and store it."""
    from mlopsfw.data.tables.handle import TableHandle
    from mlopsfw.features.tables import signature_of
    from mlopsfw.kernel.roles.training import TrainedModel, TrainingTask
    from mlopsfw.pipeline.graph.step import BundleFolder

    if not model.file.is_file():
        raise UsageError(f"there is no file {model.file}", hint="Save the model in an open format first, such as ONNX.")
    frame = as_polars(rows)
    if model.target and model.target not in frame.columns:
        raise UsageError(f"the rows have no column {model.target!r}", hint=nearest(model.target, frame.columns))
    trained = TrainedModel(
        inputs=signature_of(frame, [name for name in frame.columns if name != model.target]),
        files={model.file.name: model.file},
        formats={model.format: model.file.name},
        classes=model.classes,
        outputs=model.outputs,
        metrics=model.metrics,
    )
    personal = {name: {"pii": True} for name in project.privacy.everywhere if name != model.target}
    task = TrainingTask(task=model.task, target=model.target, options=personal)
    project.bundles.write(folder, trained, task, TableHandle.of(frame))
    project.bundles.open(folder)
    return project.values.store(BundleFolder(folder), "model")


class RegisteredModel:
    """A registered model, verified and in memory. Made by `mlopsfw.load_model`; close it, or use a `with` block.

    Args:
        project: Where it is registered.
        version: Which one.
    """

    def __init__(self, project: Project, version: ModelVersion) -> None:
        self.version = version
        self._treatment = project.personal_columns.treatment(version)
        self._folder = tempfile.TemporaryDirectory(prefix="mlopsfw-model-")
        folder = project.blobs.get_folder(version.bundle, Path(self._folder.name) / "bundle")
        self._bundle: LoadedBundle = project.bundles.open(folder, f"{version.name}@{version.version}")

    @property
    def manifest(self) -> Manifest:
        """Its inputs, outputs, task and classes."""
        return self._bundle.manifest

    def predict(self, rows: Any) -> pl.DataFrame:
        """Return the model's outputs for the rows of a table (Polars, Arrow or pandas), in their order.

        Personal columns are treated as in training. Raise `SignatureMismatch`, with column and row, for rows that do not fit.
        """
        from mlopsfw.models.bundle.scoring import score
        from mlopsfw.models.registry.personal_columns import treated

        outputs = [column.name for column in self.manifest.outputs]
        frame = as_polars(rows).drop(outputs, strict=False)
        return score(self._bundle, treated(self._treatment, frame)).select(outputs)

    def close(self) -> None:
        """Remove its files."""
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        inputs, outputs = (
            ", ".join(column.name for column in columns) for columns in (self.manifest.inputs, self.manifest.outputs)
        )
        return f"<{self.version.ref}: {inputs} → {outputs}>"


def load_model(reference: str, *, project: Project | str | Path | None = None) -> RegisteredModel:
    """Load a registered model to ask it for predictions, as a server would.

    Args:
        reference: `models:/name@alias`, `models:/name@3`, or `models:/name` for its champion.
        project: The project; the one at or above the current folder by default.

    Raises:
        UnknownName: There is no such model, alias or version.
        BundleError: Its files are damaged, or it does not answer as it did when it was made.
    """
    with opened(project) as here:
        return RegisteredModel(here, here.registry.resolve(reference))


def as_polars(rows: Any) -> pl.DataFrame:
    """Return a table of Polars, Arrow or pandas as a frame. Raise `UsageError` for anything else."""
    import polars as pl

    library = type(rows).__module__.partition(".")[0]
    if isinstance(rows, pl.LazyFrame):
        return rows.collect()
    if library == "pandas" and type(rows).__name__ == "DataFrame":
        return pl.from_pandas(rows)
    if isinstance(rows, pl.DataFrame):
        return rows
    if library == "pyarrow" and type(rows).__name__ in ("Table", "RecordBatch"):
        frame = pl.from_arrow(rows)
        return frame if isinstance(frame, pl.DataFrame) else frame.to_frame()
    raise UsageError(
        f"a {type(rows).__name__} is no table", hint="Pass a DataFrame of Polars or pandas, or an Arrow table."
    )
