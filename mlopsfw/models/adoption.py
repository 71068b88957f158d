"""Model files that were made elsewhere: copied, checked before anything reads them, and completed by the runtime of their format.

A runtime that has `adopt` may convert the file, and knows from it which columns it reads, its task and its classes. What comes
out is what a trainer returns, and goes the same way from there.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import AnswerMismatch, BundleError, UnknownFormat, UsageError
from mlopsfw.models.bundle.files import check_content
from mlopsfw.models.bundle.manifest import check_type
from mlopsfw.models.bundle.onnxfile import check_onnx

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.bundle import Runtime
    from mlopsfw.kernel.roles.training import TrainedModel, TrainingTask

LOGITS = "logits"
"""The fact of a file whose user says that it answers with logits. A runtime makes probabilities of them, and removes it."""
_LARGEST = 4 << 30
_FORMATS = {"pt2": "onnx", "txt": "lightgbm", "lgb": "lightgbm", "json": "xgboost", "ubj": "xgboost", "xgb": "xgboost"}
"""What the suffixes of other tools' files stand for; another suffix is the format itself."""
_PICKLES = ("pkl", "pickle", "joblib", "pt", "pth", "ckpt")
_ARCHIVES = (".pt2", ".skops")  # zip files, looked into by who reads them


def format_of(file: Path) -> str:
    """Return the format that a file's suffix stands for. Raise `UnknownFormat` for that of a pickle."""
    suffix = file.suffix[1:].lower()
    if suffix in _PICKLES:
        hint = "Save it in an open format: torch.export.save to a .pt2 file, skops.io.dump for scikit-learn, save_model of a booster, ONNX."
        raise UnknownFormat(f"{file.name} may run code when it is loaded, as its suffix says", hint=hint)
    return _FORMATS.get(suffix, suffix)


def copied(file: Path, form: str, folder: Path) -> Path:
    """Copy a model file of a format into `folder`, and check it as a bundle's are. Raise `UsageError` or `BundleError`."""
    if not file.is_file():
        raise UsageError(f"there is no file {file}", hint="Save the model in an open format first, such as ONNX.")
    if file.stat().st_size > _LARGEST:
        raise BundleError(f"{file} has more than {_LARGEST >> 30} GiB", hint="Serve it by a deployer of your own.")
    copy = folder / (re.sub(r"[^A-Za-z0-9_.-]+", "_", file.name).lstrip(".-")[-100:] or "model")
    shutil.copyfile(file, copy)
    if copy.suffix not in _ARCHIVES:
        check_content(copy, file.name)
    if form == "onnx" and copy.suffix != ".pt2":
        check_onnx(copy.read_bytes(), file.name)
    return copy


def adopt(
    runtimes: Callable[[str], Runtime], task: TrainingTask, model: TrainedModel, scratch: Path
) -> tuple[TrainingTask, TrainedModel]:
    """Let the runtime of the model's format complete what is said of its file.

    Args:
        runtimes: Returns the runtime of a format; raises `UnknownFormat`.
        task: Its word may be empty: then the file says it.
        model: Its file and format. Inputs, outputs and classes may be empty.
        scratch: For files that are made of it.

    Raises:
        UsageError: What is not said cannot be read from the file either.
        BundleError: The file is not what it must be.
    """
    form = next(iter(model.formats))
    runtime: Any = runtimes(form)
    complete = getattr(runtime, "adopt", None)
    if complete is not None:
        task, model = complete(task, model, scratch)
    if model.facts.get(LOGITS):
        hint = "Name the classes of an ONNX file, such as --class no --class yes. Export other formats as ONNX."
        raise UsageError(f"logits are those of an ONNX classifier, not of a {task.task} model as {form}", hint=hint)
    if not model.inputs:
        raise UsageError("the file does not say which columns the model reads", hint="Give a signature, or rows.")
    for column in model.inputs:
        check_type(column, f"the input {column.name!r}")
    if not task.task:
        raise UsageError("the file does not say what the model does", hint="Name its task, such as regression.")
    return task, msgspec.structs.replace(model, facts={"origin": "imported", **model.facts})


def no_probabilities(error: AnswerMismatch, task: str, file: str) -> BundleError | None:
    """Return the error for a classifier's file whose answers are numbers, but no probabilities; None where something else is wrong."""
    if task not in ("binary", "multiclass") or not re.search(r" is (below 0|above 1|the sum of)", error.problem):
        return None
    hint = "If these are logits, import it with --logits (log_model: logits=True). Other scores need the task custom."
    return BundleError(
        f"{file} does not answer with probabilities: output {error.output!r}: {error.problem}", hint=hint
    )
