"""Make a bundle from a trainer's result. Equal trained models give byte-identical bundles, without times, paths or hosts."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import BundleError, UnknownFormat
from mlopsfw.kernel.roles.bundle import Manifest
from mlopsfw.lineage.canonical import not_finite
from mlopsfw.models.bundle import files
from mlopsfw.models.bundle.card import model_card
from mlopsfw.models.bundle.golden import golden_rows
from mlopsfw.models.bundle.loaded import LoadedBundle, load_unproven
from mlopsfw.models.bundle.manifest import check_columns, outputs_for
from mlopsfw.models.bundle.profile import fit_profile, sampled
from mlopsfw.models.bundle.proof import check_derived, check_served, prove, spans
from mlopsfw.models.bundle.sbom import requirements, sbom

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.kernel.roles.bundle import Runtime, SignatureColumn
    from mlopsfw.kernel.roles.training import TrainedModel, TrainingData, TrainingTask


def write_bundle(
    folder: Path, trained: TrainedModel, task: TrainingTask, train: TrainingData, runtimes: Mapping[str, Runtime]
) -> Manifest:
    """Make the bundle of a trained model in `folder`; see `mlopsfw.models.bundle.write`."""
    facts = {name: value() if callable(value) else value for name, value in trained.facts.items()}
    bundle = lay_out(folder, msgspec.structs.replace(trained, facts=facts), task, runtimes)
    manifest, digests = bundle.manifest, dict(bundle.manifest.files)
    check_derived(bundle.plan, task)
    for name, data in _made(bundle, trained, task, train).items():
        digests[name] = _put(folder, name, data)
    whole = msgspec.structs.replace(manifest, files=dict(sorted(digests.items())))
    files.check_manifest(whole, str(folder / files.MANIFEST))
    (folder / files.MANIFEST).write_bytes(as_json(whole))
    files.verify_files(folder, whole)
    return whole


def lay_out(folder: Path, trained: TrainedModel, task: TrainingTask, runtimes: Mapping[str, Runtime]) -> LoadedBundle:
    """Put a trained model's own files into `folder`, and load it; see `mlopsfw.models.bundle.BundleStore.try_out`."""
    _check(folder, trained, runtimes)
    folder.mkdir(parents=True, exist_ok=True)
    digests = {name: _copy(source, folder / name) for name, source in trained.files.items()}
    for name in digests:
        files.check_content(folder / name, name)
    manifest = Manifest(
        task=task.task,
        target=task.target,
        inputs=trained.inputs,
        outputs=outputs_for(task.task, trained.classes, trained.outputs, task.quantiles),
        classes=trained.classes,
        formats=dict(trained.formats),
        files=digests,
        facts={**trained.facts, "metrics": dict(trained.metrics)},
    )
    check_columns(manifest)
    return load_unproven(folder, manifest, runtimes.__getitem__, "the trained model")


def _check(folder: Path, trained: TrainedModel, runtimes: Mapping[str, Runtime]) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise BundleError(f"{folder} is not empty", hint="Name a new or empty folder.")
    best = next(iter(trained.formats), None)
    if best is None:
        raise BundleError("the trainer returned no format of the model")
    if best not in runtimes:
        raise UnknownFormat(f"no runtime loads {best!r}, the trainer's first format")
    reserved = {files.MANIFEST, files.OUTPUTS, files.CALIBRATION, *files.REQUIRED}
    for name in trained.files:
        files.check_file_name(name, "the trainer")
        if name in reserved:
            raise BundleError(f"the trainer returned a file {name}, but the bundle writes that file itself")
    for field in ("facts", "metrics"):
        if path := not_finite(getattr(trained, field), f"TrainedModel.{field}"):
            raise BundleError(f"{path} is no finite number", hint="Leave it out, or name it in a text.")
    for form, name in trained.formats.items():
        if name not in trained.files:
            raise BundleError(f"the trainer names {name} as its {form} file, but returned no such file")


def _made(bundle: LoadedBundle, trained: TrainedModel, task: TrainingTask, train: TrainingData) -> dict[str, bytes]:
    """Return the files that hold outputs of the loaded model."""
    manifest, plan = bundle.manifest, bundle.plan
    rows = sampled(train, task.seed)
    profile = fit_profile(rows, manifest, bundle.predict_table(rows), task) if rows.height else {}
    if plan is not None:
        check_served(plan, rows, task.seed)
    columns = _examples(trained) or golden_rows(
        manifest.inputs, plan, task.seed, spans(manifest.inputs, plan, rows, task)
    )
    golden = prove(bundle, columns)
    return {
        files.PROFILE: as_json(profile),
        files.GOLDEN: as_json(golden),
        files.SIGNATURE: arrow_schema(manifest.inputs),
        files.OUTPUTS: arrow_schema(manifest.outputs),
        files.CARD: model_card(bundle.manifest, task, rows=train.rows).encode(),
        files.REQUIREMENTS: requirements(trained.facts).encode(),
        files.SBOM: as_json(sbom(trained.facts)),
    }


def _examples(trained: TrainedModel) -> dict[str, list[Any]]:
    """Return the trainer's made-up rows as a request in JSON sends them."""
    missing = [column.name for column in trained.inputs if column.name not in trained.examples]
    if trained.examples and missing:
        raise BundleError(
            f"the trainer's examples lack the input {missing[0]!r}", hint="Give values of every input, or none."
        )
    plain: dict[str, list[Any]] = msgspec.json.decode(msgspec.json.encode(dict(trained.examples)))
    return {name: plain[name] for name in (column.name for column in trained.inputs) if name in plain}


def arrow_schema(columns: Sequence[SignatureColumn]) -> bytes:
    """Return columns as an Arrow schema in IPC form. A tensor is a list in lists, of fixed length where a side is fixed."""
    import pyarrow as pa

    fields = [pa.field(column.name, _arrow_type(column), nullable=column.nullable) for column in columns]
    return bytes(pa.schema(fields).serialize())


def _arrow_type(column: SignatureColumn) -> pa.DataType:
    import pyarrow as pa

    types: dict[str, pa.DataType] = {
        "number": pa.float64(), "integer": pa.int64(), "boolean": pa.bool_(), "string": pa.string(), "date": pa.date32(),
        "datetime": pa.timestamp("us", "UTC"), "binary": pa.binary(),
    }  # fmt: skip
    if column.type == "list":
        return pa.list_(types[column.items or "number"])
    if column.type != "tensor":
        return types[column.type]
    kind = pa.from_numpy_dtype(column.dtype)
    for side in reversed(column.shape):
        kind = pa.list_(kind) if side is None else pa.list_(kind, side)
    return kind


def as_json(value: Any) -> bytes:
    """Return a value as the files of a bundle hold it."""
    return msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=1) + b"\n"


def _put(folder: Path, name: str, data: bytes) -> str:
    (folder / name).write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def _copy(source: Path, target: Path) -> str:
    """Copy a file piece by piece; return its sha256 in hex."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    with target.open("rb") as copy:
        return hashlib.file_digest(copy, "sha256").hexdigest()
