"""Implements the runtime protocol by ONNX Runtime. The model comes from checked bytes: ONNX Runtime itself opens no file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import onnxruntime

from mlopsfw.errors import BundleError
from mlopsfw.features import FeaturePlan
from mlopsfw.features.padded import padded
from mlopsfw.roles import read_listed, read_model
from mlopsfw_runtime_onnx.adoption import completed, with_answer, write

if TYPE_CHECKING:
    from mlopsfw.roles import Manifest, Model, OutputColumn, TrainedModel, TrainingTask

_ERRORS_ONLY = 3
_PLAN = "plan.json"
_MATRIX = 2
_TYPES = {
    "tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16", "tensor(bool)": "bool",
    "tensor(string)": "object", **{f"tensor({kind})": kind for kind in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")},
}  # fmt: skip


class OnnxRuntime:
    """Loads ONNX models. One with a feature plan beside it takes the plan's features; another takes the columns themselves.

    Args:
        threads: Threads inside one prediction.
    """

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads

    def load(self, folder: Path, manifest: Manifest) -> Model:
        """Load the file that the manifest lists for `onnx`. Raise `BundleError`."""
        name = manifest.formats["onnx"]
        data = read_model(folder, manifest, "onnx")
        session = self._session(data, str(folder / name))
        returned, declared = {each.name for each in session.get_outputs()}, [each.name for each in manifest.outputs]
        if not returned.issuperset(declared):
            raise BundleError(
                f"{name} returns {', '.join(sorted(returned))}, but the manifest says {', '.join(declared)}"
            )
        if _PLAN not in manifest.files:
            return OnnxModel(session, manifest.outputs, None)
        return OnnxModel(session, manifest.outputs, FeaturePlan.from_json(read_listed(folder, manifest, _PLAN)))

    def adopt(self, task: TrainingTask, model: TrainedModel, scratch: Path) -> tuple[TrainingTask, TrainedModel]:
        """Return task and model as the graph says them, with the output that the task asks for; an export of torch becomes ONNX.

        Raises:
            BundleError: The file is not what its suffix says, or has no such output.
            MissingExtra: What converts it is not installed.
        """
        name = model.formats["onnx"]
        file = model.files[name]
        if file.suffix == ".pt2":
            from mlopsfw_runtime_onnx.torch_export import convert

            file = scratch / f"{file.stem}.onnx"
            convert(model.files[name], file)
            model = _with_file(model, file)
        task, model, answer = completed(self._session(file.read_bytes(), file.name), _TYPES, task, model)
        if answer is not None:
            logits = bool(model.facts.get("logits"))
            model = _with_file(model, write(file, with_answer(file.read_bytes(), answer, task.task, logits=logits)))
            facts = {name: value for name, value in model.facts.items() if name != "logits"}
            model = msgspec.structs.replace(model, facts=facts | ({"probabilities": "of its logits"} if logits else {}))
        return task, model

    def _session(self, data: bytes, name: str) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self._threads, 1
        options.log_severity_level = _ERRORS_ONLY
        try:
            return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own errors share no base
            raise BundleError(f"{name} is not a model that ONNX Runtime can load: {error}") from error


def _with_file(model: TrainedModel, file: Path) -> TrainedModel:
    return msgspec.structs.replace(model, files={file.name: file}, formats={"onnx": file.name})


class OnnxModel:
    """A loaded model. ONNX Runtime's sessions may be run from many threads.

    Args:
        session: The model.
        outputs: Its outputs, in order.
        plan: Makes features of the columns; None where the model takes the columns.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, outputs: tuple[OutputColumn, ...], plan: FeaturePlan | None
    ) -> None:
        self._session, self._plan = session, plan
        self._names = [each.name for each in outputs]
        self._scalars = frozenset(each.name for each in outputs if each.type != "tensor")
        self._inputs = [(each.name, _TYPES.get(each.type, "object"), each.shape) for each in session.get_inputs()]

    def predict(self, columns: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Return each output for the rows of `columns`.

        Raises:
            BundleError: The model takes another array.
            SignatureMismatch: Bytes have another length than the model takes.
        """
        arrays = columns if self._plan is None else self._plan.apply(columns)
        try:
            feed = {name: _as_tensor(name, arrays[name], kind, shape) for name, kind, shape in self._inputs}
        except KeyError as error:
            source = "the signature has" if self._plan is None else "the feature plan makes"
            raise BundleError(f"the model takes {error.args[0]!r}, but {source} {', '.join(arrays)}") from None
        values: list[Any] = self._session.run(self._names, feed)
        return {name: self._flat(name, each) for name, each in zip(self._names, values, strict=True)}

    def _flat(self, name: str, values: np.ndarray) -> np.ndarray:
        """Return one value a row where the model writes `[rows, 1]`."""
        is_column = name in self._scalars and values.ndim == _MATRIX and values.shape[1] == 1
        return values[:, 0] if is_column else values


def _as_tensor(name: str, values: np.ndarray, kind: str, shape: list[Any]) -> np.ndarray:
    """Return an array of the type that the graph takes; one value a row as `[rows, 1]` where it takes a matrix."""
    is_matrix = len(shape) == _MATRIX
    if values.dtype != kind:
        if is_matrix and len(values) and isinstance(shape[1], int) and isinstance(values[0], str | bytes | np.ndarray):
            return padded(values, kind, shape[1], name)
        with np.errstate(over="ignore"):  # a float64 beyond float32 is infinite there
            values = values.astype(kind)
    return values[:, None] if values.ndim == 1 and is_matrix else values
