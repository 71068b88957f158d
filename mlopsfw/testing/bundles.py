"""Small real bundles for the tests of deployers and runtimes, made without training.

bundles = write_bundles(host, tmp_path)                # first and second can be served and differ, broken cannot be
folder = bundle_of(tmp_path / "bundle", AcmeRuntime(), trained, task, rows)     # a model of your own format
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlopsfw.kernel.roles.bundle import OutputColumn, Runtime, SignatureColumn
from mlopsfw.kernel.roles.training import TrainedModel, TrainingTask
from mlopsfw.models import bundle

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.kernel.roles.host import Host

TASK = TrainingTask(task="custom", target="late")
INPUTS = (
    SignatureColumn(name="distance", type="number"),
    SignatureColumn(name="hour", type="number"),
    SignatureColumn(name="passenger", type="string"),
)
OUTPUTS = (
    OutputColumn(name="probability", type="number", minimum=0.0, maximum=1.0),
    OutputColumn(name="seen", type="string"),
)
COLUMNS: dict[str, list[Any]] = {
    "distance": [100.0, 500.0, 2500.0],
    "hour": [6.0, 9.0, 22.0],
    "passenger": ["Ada Lovelace", "Grace Hopper", "Radia Perlman"],
}
"""A request of three rows, as the columns that the model takes."""


class Bundles(NamedTuple):
    """Digests of stored bundles.

    Args:
        first, second: Can be served, and differ.
        broken: Cannot be served.
    """

    first: str
    second: str
    broken: str


def write_bundles(host: Host, folder: Path) -> Bundles:
    """Write three bundles below `folder`, store them with `host.blobs`, and return their digests."""
    digests = [host.blobs.put_folder(write_bundle(folder / f"bundle-{bias:g}", bias)) for bias in (0.0, 1.0)]
    broken = write_bundle(folder / "bundle-broken", 2.0)
    damage(broken / "model.onnx")
    return Bundles(digests[0], digests[1], host.blobs.put_folder(broken))


def write_bundle(folder: Path, bias: float = 0.0, facts: Mapping[str, Any] | None = None) -> Path:
    """Write the bundle of a logistic regression in ONNX; return its folder.

    It answers with `probability`, `1 / (1 + exp(-(distance / 1000 + hour / 24 + bias)))`, and with `seen`, the passenger
    as the model saw it: where the column is personal, that must not be the passenger's name.

    Args:
        folder: New or empty.
        bias: What is added before the sigmoid.
        facts: Of the manifest.

    Raises:
        MissingExtra: ONNX Runtime is not installed, which answers the bundle's golden rows.
    """
    import polars as pl

    from mlopsfw.kernel.config.model import ProjectConfig
    from mlopsfw.project.wiring import Wiring

    file = folder.with_name(f"{folder.name}.onnx")
    file.write_bytes(_logistic(bias))
    trained = TrainedModel(
        inputs=INPUTS, outputs=OUTPUTS, files={"model.onnx": file}, formats={"onnx": "model.onnx"}, facts=facts or {}
    )
    rows = pl.DataFrame({**COLUMNS, "late": [False, True, True]})
    runtime = Wiring(folder.parent, ProjectConfig(name="bundles")).providers.runtime("onnx")
    return bundle_of(folder, runtime, trained, TASK, pl.concat([rows] * 16))


def bundle_of(folder: Path, runtime: Runtime, trained: TrainedModel, task: TrainingTask, rows: pl.DataFrame) -> Path:
    """Write the bundle of a model of your own, made up or trained; return its folder.

    Args:
        folder: New or empty.
        runtime: Loads the model, and answers its golden rows.
        trained: The model's files, formats and inputs.
        task: What it learned.
        rows: The rows that it learned from.
    """
    from mlopsfw.testing.trainer import RecordedData

    bundle.write(folder, trained, task, RecordedData(rows), dict.fromkeys(trained.formats, runtime))
    return folder


def damage(file: Path) -> None:
    """Change one byte of a file, so that it is not the one that the bundle lists."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.chmod(0o600)
    file.write_bytes(data)


# -- ONNX, which is protocol buffers: https://onnx.ai/onnx/repo-docs/IR.html -------------------------------------------------

_IR_VERSION, _OPSET, _DOUBLE, _TEXT = 8, 17, 11, 8
_TAKES = {"distance": _DOUBLE, "hour": _DOUBLE, "passenger": _TEXT}
_GIVES = {"probability": _DOUBLE, "seen": _TEXT}


def _logistic(bias: float) -> bytes:
    """Return the model as ONNX: sigmoid(distance * 0.001 + hour / 24 + bias) in double precision, and the passenger."""
    nodes = [
        _node("Mul", ["distance", "per_mile"], "far"),
        _node("Mul", ["hour", "per_hour"], "day"),
        _node("Add", ["far", "day"], "both"),
        _node("Add", ["both", "bias"], "logit"),
        _node("Sigmoid", ["logit"], "probability"),
        _node("Identity", ["passenger"], "seen"),
    ]
    constants = {"per_mile": 0.001, "per_hour": 1 / 24, "bias": bias}
    graph = b"".join(
        [
            *(_field(1, node) for node in nodes),
            _field(2, b"logistic"),
            *(_field(5, _constant(name, value)) for name, value in constants.items()),
            *(_field(11, _tensor(name, kind)) for name, kind in _TAKES.items()),
            *(_field(12, _tensor(name, kind)) for name, kind in _GIVES.items()),
        ]
    )
    return _field(1, _IR_VERSION) + _field(7, graph) + _field(8, _field(1, b"") + _field(2, _OPSET))


def _node(operator: str, inputs: list[str], output: str) -> bytes:
    named = b"".join(_field(1, name.encode()) for name in inputs)
    return named + _field(2, output.encode()) + _field(4, operator.encode())


def _constant(name: str, value: float) -> bytes:
    return _field(2, _DOUBLE) + _field(8, name.encode()) + _field(9, struct.pack("<d", value))


def _tensor(name: str, kind: int) -> bytes:
    """Return the description of a tensor, `[rows]`."""
    shape = _field(1, _field(2, b"rows"))
    return _field(1, name.encode()) + _field(2, _field(1, _field(1, kind) + _field(2, shape)))


def _field(number: int, value: int | bytes) -> bytes:
    """Return a field of a protocol buffer: a whole number, or bytes with their length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
