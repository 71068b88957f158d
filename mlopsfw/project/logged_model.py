"""A notebook's model: its bundle, and the registered one loaded to be asked."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from mlopsfw.capturelog.disk import full_as_storage_error
from mlopsfw.kernel.base.errors import AnswerMismatch, UsageError
from mlopsfw.kernel.base.ids import check_name, nearest
from mlopsfw.kernel.base.lazy import lazy
from mlopsfw.kernel.roles.bundle import Manifest, OutputColumn, SignatureColumn
from mlopsfw.models.bundle.loaded import LoadedBundle
from mlopsfw.models.registry.versions import ModelVersion
from mlopsfw.operations.scratch import scratch_folder
from mlopsfw.project.facade import Project, opened

if TYPE_CHECKING:
    import polars as pl
else:
    pl = lazy("polars")


class ModelFile(msgspec.Struct, frozen=True, kw_only=True):
    """A model file and what it does; see `start_run.log_model`."""

    file: Path
    format: str
    task: str = ""
    target: str = ""
    inputs: tuple[SignatureColumn, ...] = ()
    classes: tuple[str | int | bool, ...] = ()
    outputs: tuple[OutputColumn, ...] = ()
    logits: bool = False
    metrics: Mapping[str, float] = {}


Maker = Callable[["Project", Path, ModelFile, "pl.DataFrame | None"], str]
"""Makes the bundle of a model file, with the rows that it learned from if they are known, in a folder; returns its task."""


def make_bundle(project: Project, scratch: Path, model: ModelFile, rows: pl.DataFrame | None) -> str:
    """Make the bundle of a model file in `scratch / "bundle"`, and open it as a server would; return its task."""
    from mlopsfw.data.tables.handle import TableHandle
    from mlopsfw.kernel.roles.training import TrainedModel, TrainingTask
    from mlopsfw.models.adoption import LOGITS, adopt, copied, no_probabilities

    file = copied(model.file, model.format, scratch)
    trained = TrainedModel(
        inputs=model.inputs or _inputs(rows, model.target),
        files={file.name: file},
        formats={model.format: file.name},
        classes=model.classes,
        outputs=model.outputs,
        metrics=model.metrics,
        facts={LOGITS: True} if model.logits else {},
    )
    personal = {name: {"pii": True} for name in project.privacy.everywhere if name != model.target}
    task = TrainingTask(task=model.task, target=model.target, options=personal)
    task, trained = adopt(project.bundles.runtime, task, trained, scratch)
    folder = scratch / "bundle"
    try:
        project.bundles.write(folder, trained, task, TableHandle.of(_rows(rows, trained.inputs)))
    except AnswerMismatch as error:
        raise no_probabilities(error, task.task, file.name) or error from None
    project.bundles.open(folder)
    return task.task


def registered_file(
    project: Project,
    name: str,
    model: ModelFile,
    rows: Any,
    *,
    run: str = "",
    message: str = "",
    make: Maker = make_bundle,
) -> ModelVersion:
    """Register a model file as the next version of a model, made by `run`, if that is known.

    Args:
        project: Where.
        name: The model's name.
        model: The file, and what it does.
        rows: The table that it learned from, or None.
        run: Its id.
        message: Why, for people.
        make: How its bundle is made: `mlopsfw.project.bundle_subprocess.make_bundle_in_subprocess` for a file from elsewhere.
    """
    from mlopsfw.pipeline.graph.step import BundleFolder

    check_name(name, "model")
    with full_as_storage_error(), scratch_folder(project.workspace) as scratch:
        task = make(project, scratch, model, None if rows is None else as_polars(rows))
        bundle = project.values.store(BundleFolder(scratch / "bundle"), "model")
    metrics = model.metrics or None
    return project.registry.register(name, bundle.blob, run=run, metrics=metrics, task=task, message=message)


def _inputs(frame: pl.DataFrame | None, target: str) -> tuple[SignatureColumn, ...]:
    """Return the signature of the columns besides the target; nothing without rows."""
    if frame is None:
        return ()
    from mlopsfw.features.tables import signature_of

    if target and target not in frame.columns:
        raise UsageError(f"the rows have no column {target!r}", hint=nearest(target, frame.columns))
    return signature_of(frame, [name for name in frame.columns if name != target])


def _rows(frame: pl.DataFrame | None, inputs: tuple[SignatureColumn, ...]) -> pl.DataFrame:
    """Return the rows that the model learned from; where they are not known, a table of its columns without rows."""
    if frame is not None:
        return frame
    import polars as pl
    import pyarrow as pa

    from mlopsfw.models.bundle.writing import arrow_schema

    made = pl.from_arrow(pa.ipc.read_schema(pa.py_buffer(arrow_schema(inputs))).empty_table())
    return made if isinstance(made, pl.DataFrame) else made.to_frame()


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
        StorageFull: The disk has no room for a copy of its files.
    """
    with full_as_storage_error(), opened(project) as here:
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
