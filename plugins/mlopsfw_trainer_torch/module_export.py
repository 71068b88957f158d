"""A user's module as ONNX by `torch.export`, checked against torch. The file holds no path and no line of the user's code."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from mlopsfw.errors import BundleError, UsageError
from mlopsfw.roles import TASK_OUTPUTS
from mlopsfw_trainer_torch.export import outputs_of

if TYPE_CHECKING:
    from mlopsfw_trainer_torch.columns import Input
    from mlopsfw_trainer_torch.module import UserNetwork
    from mlopsfw_trainer_torch.rows import Rows, Target

_TOLERANCE = 1e-4


class _Answer(nn.Module):
    """The network with what makes probabilities or values of its logits."""

    def __init__(self, network: UserNetwork, target: Target) -> None:
        super().__init__()
        self.network, self._target = network, target

    def forward(self, *inputs: Tensor) -> Tensor:
        logits, target = self.network(*inputs), self._target
        if target.task == "multiclass":
            return torch.softmax(logits, dim=1)
        if target.task == "binary":
            return torch.sigmoid(logits)[:, 0]
        return logits[:, 0] * target.scale + target.mean  # type: ignore[no-any-return]


def export_module(network: UserNetwork, target: Target, inputs: tuple[Input, ...], rows: Rows, file: Path) -> float:
    """Write the network as one ONNX file; return the largest difference between its answers and torch's.

    Args:
        network: The trained network.
        target: Says what its output means.
        inputs: Name the inputs of the file.
        rows: Rows to compare with, at least one, on the CPU.
        file: The file.

    Raises:
        UsageError: The module does what `torch.export` or ONNX cannot hold.
        BundleError: The answers differ by more than 1e-4.
    """
    answer = _Answer(copy.deepcopy(network).cpu(), target).eval()
    twice = torch.arange(2) % len(rows)  # with one row, the number of rows would be taken for a constant
    file.write_bytes(_exported(answer, inputs, rows.at(twice).inputs, TASK_OUTPUTS[target.task], network))
    with torch.no_grad():
        expected = outputs_of(answer.network(*rows.inputs), target)
    return _difference(file, inputs, rows, expected, max(1.0, target.scale))


def _exported(
    answer: _Answer, inputs: tuple[Input, ...], example: tuple[Tensor, ...], output: str, network: UserNetwork
) -> bytes:
    rows = torch.export.Dim("rows")
    try:
        with _quiet():
            program = torch.export.export(answer, example, dynamic_shapes=(tuple({0: rows} for _ in example),))
            names = [each.column.name for each in inputs]
            written: Any = torch.onnx.export(
                program, dynamo=True, verbose=False, input_names=names, output_names=[output]
            )
    except UsageError:
        raise
    except Exception as error:  # torch.export raises errors of many kinds, with the user's line in their text
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UsageError(
            f"{type(network.module).__name__} cannot be exported to ONNX: {first[:300]}",
            hint="torch.export needs a forward without branches on values, and any number of rows.",
        ) from error
    return _bare(written.model_proto)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what the exporter says about packages that the model does not need."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _bare(model: Any) -> bytes:
    """Return the model without what torch notes beside it: paths, lines of code, names of classes."""
    graphs = [model.graph, *model.functions]
    for each in (model, *graphs):
        del each.metadata_props[:]
    for graph in graphs:
        for node in graph.node:
            del node.metadata_props[:]
            node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _difference(file: Path, inputs: tuple[Input, ...], rows: Rows, expected: np.ndarray, spread: float) -> float:
    """Return the largest difference, for all rows at once and for the first alone."""
    session = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
    needed = {each.name for each in session.get_inputs()}
    largest = 0.0
    for count in (len(rows), 1):
        feed = {
            each.column.name: tensor[:count].numpy()
            for each, tensor in zip(inputs, rows.inputs, strict=True) if each.column.name in needed
        }  # fmt: skip
        difference = np.abs(session.run(None, feed)[0] - expected[:count])
        largest = max(largest, float(difference.max()) / spread)
    if not largest <= _TOLERANCE:
        raise BundleError(f"the exported module differs from the trained one by {largest:.2e}")
    return largest
