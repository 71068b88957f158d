"""Make a bundle from a trainer's result. Equal trained models give byte-identical bundles, without times, paths or hosts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.features import FeaturePlan
from mlopsfw.kernel.base.errors import BundleError, UnknownFormat
from mlopsfw.kernel.roles.bundle import Manifest
from mlopsfw.models.bundle import files
from mlopsfw.models.bundle.card import model_card
from mlopsfw.models.bundle.golden import golden_rows
from mlopsfw.models.bundle.loaded import LoadedBundle, load_unproven
from mlopsfw.models.bundle.profile import fit_profile, sampled
from mlopsfw.models.bundle.proof import check_derived, check_served, prove, spans
from mlopsfw.models.bundle.sbom import requirements, sbom

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.bundle import Runtime, SignatureColumn
    from mlopsfw.kernel.roles.training import TrainedModel, TrainingData, TrainingTask


def write_bundle(
    folder: Path, trained: TrainedModel, task: TrainingTask, train: TrainingData, runtimes: Mapping[str, Runtime]
) -> Manifest:
    """Make the bundle of a trained model in `folder`; see `mlopsfw.models.bundle.write`."""
    _check(folder, trained, runtimes)
    plan = FeaturePlan.from_json(trained.plan)
    check_derived(plan, task)
    folder.mkdir(parents=True, exist_ok=True)
    digests = {name: _put(folder, name, source.read_bytes()) for name, source in trained.files.items()}
    digests[files.PLAN] = _put(folder, files.PLAN, trained.plan)
    manifest = Manifest(
        task=task.task,
        target=task.target,
        inputs=plan.inputs,
        outputs=trained.outputs,
        classes=trained.classes,
        formats=dict(trained.formats),
        files=digests,
        facts={**trained.facts, "metrics": dict(trained.metrics)},
    )
    bundle = load_unproven(folder, manifest, runtimes.__getitem__)
    for name, data in _made(bundle, trained, task, train).items():
        digests[name] = _put(folder, name, data)
    whole = msgspec.structs.replace(manifest, files=dict(sorted(digests.items())))
    files.check_manifest(whole, str(folder / files.MANIFEST))
    (folder / files.MANIFEST).write_bytes(_json(whole))
    files.verify_files(folder, whole)
    return whole


def _check(folder: Path, trained: TrainedModel, runtimes: Mapping[str, Runtime]) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise BundleError(f"{folder} is not empty", hint="Name a new or empty folder.")
    best = next(iter(trained.formats), None)
    if best is None:
        raise BundleError("the trainer returned no format of the model")
    if best not in runtimes:
        raise UnknownFormat(f"no runtime loads {best!r}, the trainer's first format")
    reserved = {files.MANIFEST, *files.REQUIRED}
    for name in trained.files:
        files.check_file_name(name, "the trainer")
        if name in reserved:
            raise BundleError(f"the trainer returned a file {name}, but the bundle writes that file itself")
    for form, name in trained.formats.items():
        if name not in trained.files:
            raise BundleError(f"the trainer names {name} as its {form} file, but returned no such file")


def _made(bundle: LoadedBundle, trained: TrainedModel, task: TrainingTask, train: TrainingData) -> dict[str, bytes]:
    """Return the files that hold outputs of the loaded model."""
    rows = sampled(train, task.seed)
    profile = fit_profile(rows, bundle.plan.inputs, bundle.predict_table(rows), trained.classes, task)
    check_served(bundle.plan, rows, task.seed)
    golden = prove(bundle, golden_rows(bundle.plan, task.seed, spans(bundle.plan, rows, task)))
    return {
        files.PROFILE: _json(profile),
        files.GOLDEN: _json(golden),
        files.SIGNATURE: arrow_signature(bundle.plan.inputs),
        files.CARD: model_card(bundle.manifest, task, rows=train.rows).encode(),
        files.REQUIREMENTS: requirements(trained.facts).encode(),
        files.SBOM: _json(sbom(trained.facts)),
    }


def arrow_signature(inputs: tuple[SignatureColumn, ...]) -> bytes:
    """Return the signature as an Arrow schema in IPC form."""
    import pyarrow as pa

    types = {
        "number": pa.float64(),
        "integer": pa.int64(),
        "boolean": pa.bool_(),
        "string": pa.string(),
        "date": pa.date32(),
        "datetime": pa.timestamp("us", "UTC"),
    }
    fields = [pa.field(column.name, types[column.type], nullable=column.nullable) for column in inputs]
    return bytes(pa.schema(fields).serialize())


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=1) + b"\n"


def _put(folder: Path, name: str, data: bytes) -> str:
    (folder / name).write_bytes(data)
    return hashlib.sha256(data).hexdigest()
