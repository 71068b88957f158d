"""Register model files that were made elsewhere, each in a run of its own, as a notebook would with `log_model`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.base.ids import check_name
from mlopsfw.kernel.roles.bundle import OutputColumn, SignatureColumn
from mlopsfw.models.adoption import format_of
from mlopsfw.models.mlflow_model import flavour_file, is_model_folder
from mlopsfw.project.bundle_subprocess import make_bundle_in_subprocess
from mlopsfw.project.logged_model import ModelFile, registered_file
from mlopsfw.project.script_run import start_run

if TYPE_CHECKING:
    from mlopsfw.models.registry.versions import ModelVersion
    from mlopsfw.project.facade import Project

_WORDS: dict[str, bool] = {"true": True, "false": False}


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a user says of a model file. All of it may be empty: then the file says it.

    Args:
        format: The format.
        task: The task's word.
        target: The label's column.
        classes: The label values in the order of the outputs, as texts.
        logits: Whether it answers with logits, which become probabilities.
        like: Reference of the rows that it learned from.
        signature: A JSON file with its inputs, and its outputs if need be.
    """

    format: str = ""
    task: str = ""
    target: str = ""
    classes: tuple[str, ...] = ()
    logits: bool = False
    like: str = ""
    signature: Path | None = None


class _Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    inputs: tuple[SignatureColumn, ...]
    outputs: tuple[OutputColumn, ...] = ()


def import_file(project: Project, path: Path, name: str, facts: ModelFacts, message: str = "") -> ModelVersion:
    """Register `path`, a model file or a folder of MLflow, as the next version of the model `name`.

    Raises:
        UsageError: What is said contradicts itself, or the file does not say what is not said.
        UnknownFormat: No installed plugin loads it.
        BundleError: It is not what it must be, or holds code.
        MissingExtra: What reads it is not installed.
    """
    check_name(name, "model")
    if facts.like and facts.signature:
        raise UsageError("the columns come from the rows or from a signature", hint="Give --like or --signature.")
    signature = _signature(facts.signature)
    file, form, inputs = path, facts.format, signature.inputs
    if path.is_dir() and not is_model_folder(path):
        raise UsageError(f"{path} is a folder without a file MLmodel", hint="Name the model's file.")
    if is_model_folder(path):
        file, form, said = flavour_file(path)
        inputs = inputs or (() if facts.like else said)
    model = ModelFile(
        file=file,
        format=form or format_of(file),
        task=facts.task,
        target=facts.target,
        inputs=inputs,
        classes=tuple(map(_value, facts.classes)),
        outputs=signature.outputs,
        logits=facts.logits,
    )
    rows = project.datasets.scan(facts.like) if facts.like else None
    params = {"path": path.name, **{key: getattr(facts, key) for key in ("like",) if getattr(facts, key)}}
    with start_run(f"import {name}", project=project, params=params) as run:
        return registered_file(project, name, model, rows, run=run.id, message=message, make=make_bundle_in_subprocess)


def _signature(file: Path | None) -> _Signature:
    if file is None:
        return _Signature(())
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Signature)
    except (OSError, msgspec.DecodeError, RecursionError) as error:
        hint = 'Write {"inputs": [{"name": "wind", "type": "number"}]}.'
        raise UsageError(f"{file} is no signature: {error}", hint=hint) from None


def _value(text: str) -> str | int | bool:
    """Return a label value: a truth value, an integer, or the text itself."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    return int(text) if text.lstrip("-").isdecimal() else text
