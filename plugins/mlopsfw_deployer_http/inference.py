"""The Open Inference Protocol, version 2: named tensors in, named tensors out. One tensor is one column."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.worker import Extras
from mlopsfw_deployer_http.message import Answer, Lengthy, Refusal, Request, encode
from mlopsfw_deployer_http.pieces import GAP, Steps, encoded, filled, freed
from mlopsfw_deployer_http.strict import check_rows, explained_in_time, read, read_in_steps

if TYPE_CHECKING:
    import numpy as np

    from mlopsfw.roles import ColumnType, SignatureColumn
    from mlopsfw.worker import Scored, Scorer

_WHOLE = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})
_NUMBER = _WHOLE | {"FP16", "FP32", "FP64"}
_TEXT = frozenset({"BYTES"})
_ACCEPTED: dict[ColumnType, frozenset[str]] = {
    "number": _NUMBER, "integer": _NUMBER, "boolean": frozenset({"BOOL"}), "string": _TEXT, "date": _TEXT, "datetime": _TEXT,
    "binary": _TEXT, "list": _NUMBER | _TEXT | {"BOOL"}, "tensor": _NUMBER | {"BOOL"},
}  # fmt: skip
_OFFERED: dict[ColumnType, str] = {
    "number": "FP64", "integer": "INT64", "boolean": "BOOL", "string": "BYTES", "date": "BYTES", "datetime": "BYTES",
    "binary": "BYTES",
}  # fmt: skip
_DATATYPES = {
    "float64": "FP64", "float32": "FP32", "float16": "FP16", "bool": "BOOL",
    **{f"{kind}{bits}": f"{kind}{bits}".upper() for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
}  # fmt: skip

_BOUNDS: dict[str, tuple[float, float]] = {
    **{f"INT{bits}": (-(1 << bits - 1), (1 << bits - 1) - 1) for bits in (8, 16, 32)},
    **{f"UINT{bits}": (0, (1 << bits) - 1) for bits in (8, 16, 32, 64)},
    "FP16": (-65504.0, 65504.0),
    "FP32": (-3.4028234663852886e38, 3.4028234663852886e38),
}
"""What a datatype holds; INT64 and FP64 are checked as the column's type is."""

_EMPTY_ROWS = 10_000  # rows that a request may have although none of them holds a value


class Tensor(msgspec.Struct):
    """A named tensor of a request.

    Args:
        name: The column.
        datatype: `FP64`, `INT64`, `BOOL`, `BYTES`, …
        shape: `[rows]` or `[rows, 1]`; of a list or a tensor the rows and its sides.
        data: The values, flat or nested like `shape`; null if the column may be null.
        parameters: Ignored, except those of a binary body, which are refused.
    """

    name: str
    datatype: str
    shape: list[int]
    data: list[Any]
    parameters: dict[str, Any] = {}


class Wanted(msgspec.Struct):
    """An output that a request selects."""

    name: str
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct):
    """The body of `POST /v2/models/{model}/infer`.

    Args:
        inputs: One tensor a column.
        id: The client's own id of the request: echoed, and stored with its rows. Labels refer to the answer's `prediction_ids`.
        parameters: `event_time` (RFC 3339 with zone): the time of the event, for all rows. `alpha`: answer with intervals or
            sets that miss the truth in at most this share of rows. `explain`: true for what each input contributes.
        outputs: The outputs to return; all if empty.
    """

    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Any] = {}
    outputs: list[Wanted] = []


_decoder = msgspec.json.Decoder(InferRequest)


def infer(scorer: Scorer, request: Request) -> Answer:
    """Answer an inference request. Raise `Lengthy` where it asks for an explanation."""
    asked = read(request, _decoder)
    extras = _extras(asked.parameters)
    if extras.explain:
        raise Lengthy
    scored = scorer.score(_columns(asked, scorer), asked.id, _event_time(asked.parameters), extras)
    tensors = [
        _tensor(name, scored.outputs[name], len(scored.ids), _flat(scored, name))
        for name in _wanted(asked.outputs, scorer.names(extras))
    ]
    body = _body(asked, scorer, scored.ids[0], scored.ids, tensors)
    return Answer(200, encode(body), record=scored.record, rows=len(scored.ids))


def infer_in_steps(scorer: Scorer, request: Request) -> Steps[Answer]:
    """Answer a long inference request with the same bytes as `infer`, ids aside."""
    asked = yield from read_in_steps(request, _decoder)
    extras = _extras(asked.parameters)
    columns = check_rows(_columns(asked, scorer), explain=extras.explain)
    names = _wanted(asked.outputs, scorer.names(extras))
    yield
    scores = scorer.score_in_steps(columns, asked.id, _event_time(asked.parameters), extras)
    parts = yield from explained_in_time(scores, explain=extras.explain)
    yield from freed([*columns.values(), *(tensor.data for tensor in asked.inputs)])
    lists = [(yield from encoded(part.ids for part in parts))]
    for name in names:
        lists.append((yield from encoded(_flat(part, name) for part in parts)))  # noqa: PERF401 - a step each
    rows = sum(len(part.ids) for part in parts)
    tensors = [_tensor(name, parts[0].outputs[name], rows, GAP) for name in names]
    answer = Answer.of_parts(filled(_body(asked, scorer, parts[0].ids[0], GAP, tensors), lists), parts)
    yield from freed(each for part in parts for each in (part.ids, *part.lists.values()))
    return answer


def _columns(asked: InferRequest, scorer: Scorer) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for tensor in asked.inputs:
        if tensor.name in columns:
            raise Refusal(400, f"input {tensor.name[:100]!r} appears twice")
        columns[tensor.name] = _values(tensor, scorer)
    return columns


def _body(
    asked: InferRequest, scorer: Scorer, first_id: str, ids: Any, tensors: list[dict[str, Any]]
) -> dict[str, Any]:
    request_id = asked.id or first_id.partition("-")[0]
    return {
        "model_name": scorer.spec.endpoint,
        "model_version": str(scorer.spec.version),
        "id": request_id,
        "parameters": {"bundle": scorer.spec.bundle, "prediction_ids": ids},
        "outputs": tensors,
    }


def _values(tensor: Tensor, scorer: Scorer) -> list[Any]:
    column = scorer.columns.get(tensor.name)
    hashed = tensor.name in scorer.hashed
    if column is not None and not hashed and tensor.datatype not in _ACCEPTED[column.type]:
        wanted = _datatype(column)
        raise Refusal(
            400, f"column {column.name!r} is of type {column.type}: send {wanted}, not {tensor.datatype[:20]!r}"
        )
    if "binary_data_size" in tensor.parameters:
        raise Refusal(400, f"input {tensor.name[:100]!r}: binary tensors are not supported; send JSON")
    data, shape = tensor.data, tensor.shape
    _check_bounds(tensor)
    if column is not None and column.type in ("list", "tensor"):
        _check_sides(column, shape)
        data = _nested(data, shape, tensor.name)
    elif len(shape) == 2 and shape[1] == 1:  # noqa: PLR2004 - rows and one value each
        data = [item[0] if isinstance(item, list) and len(item) == 1 else item for item in data]
    elif len(shape) != 1:
        raise Refusal(
            400, f"input {tensor.name[:100]!r}: its shape must be [rows] or [rows, 1], since each tensor is one column"
        )
    if len(data) != shape[0]:
        raise Refusal(400, f"input {tensor.name[:100]!r}: shape says {str(shape[0])[:20]} rows, data holds {len(data)}")
    return data


def _check_bounds(tensor: Tensor) -> None:
    """Refuse a number that the tensor's own datatype cannot hold. The client meant another number or another datatype."""
    if tensor.datatype not in _BOUNDS:
        return
    least, greatest = _BOUNDS[tensor.datatype]
    for row, value in enumerate(tensor.data):
        for number in _leaves(value):
            if not least <= number <= greatest:
                raise Refusal(
                    400, f"input {tensor.name[:100]!r}, value {row}: {str(number)[:40]} does not fit {tensor.datatype}"
                )


def _leaves(value: Any) -> Iterator[int | float]:
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, list):
            waiting += inner
        elif isinstance(inner, int | float):
            yield inner


def _check_sides(column: SignatureColumn, shape: list[int]) -> None:
    """Refuse a shape of other sides than the column's, and one that would make many rows of nothing."""
    sides = 1 if column.type == "list" else len(column.shape)
    if not shape or (len(shape) != sides + 1 and not (column.type == "list" and len(shape) == 1)):
        raise Refusal(
            400,
            f"column {column.name!r}: its shape has {len(shape)} sides, not {sides + 1}: rows, and those of one row",
        )
    if min(shape) < 0 or (0 in shape[1:] and shape[0] > _EMPTY_ROWS):
        raise Refusal(400, f"column {column.name!r}: there are no rows of the shape {str(shape)[:40]}")


def _nested(data: list[Any], shape: list[int], name: str) -> list[Any]:
    """Return values flat or nested like `shape` as one list a row. Rows of a list may differ in length if they are nested."""
    if len(shape) < 2 or any(isinstance(value, list) for value in data):  # noqa: PLR2004 - rows, and what is in them
        return data
    if min(shape) < 0 or math.prod(shape) != len(data):
        raise Refusal(400, f"input {name[:100]!r}: shape says {str(shape)[:40]}, data holds {len(data)} values")
    for side in reversed(shape[1:]):
        data = [data[at : at + side] for at in range(0, len(data), side)] if side else [[] for _ in range(shape[0])]
    return data


def _datatype(column: SignatureColumn) -> str:
    if column.type == "tensor":
        return _DATATYPES[column.dtype or "float32"]
    return _OFFERED[column.items or "number"] if column.type == "list" else _OFFERED[column.type]


def _sides(column: SignatureColumn) -> list[int]:
    """Return the shape of a column's tensor, -1 for any length."""
    inner = [-1] if column.type == "list" else [-1 if side is None else side for side in column.shape]
    return [-1, *inner]


def _event_time(parameters: dict[str, Any]) -> str | None:
    stamp = parameters.get("event_time")
    if stamp is None or isinstance(stamp, str):
        return stamp
    raise Refusal(400, "event_time: write RFC 3339 with a zone, as a string")


def _extras(parameters: dict[str, Any]) -> Extras:
    explain = parameters.get("explain", False)
    if not isinstance(explain, bool):
        raise Refusal(400, "explain: write true or false")
    return Extras(parameters.get("alpha"), explain)


def _wanted(outputs: list[Wanted], known: tuple[str, ...]) -> tuple[str, ...]:
    for output in outputs:
        if output.name not in known:
            raise Refusal(400, f"there is no output {output.name[:100]!r}; there are: {', '.join(known)}")
    return tuple(output.name for output in outputs) or known


def _flat(scored: Scored, name: str) -> list[Any]:
    values = scored.outputs[name]
    flat: list[Any] = scored.lists[name] if values.ndim == 1 else values.ravel().tolist()
    return flat


def _tensor(name: str, values: np.ndarray, rows: int, data: list[Any] | msgspec.Raw) -> dict[str, Any]:
    return {
        "name": name,
        "datatype": _DATATYPES.get(values.dtype.name, "BYTES"),
        "shape": [rows, *values.shape[1:]],
        "data": data,
    }


def describe(scorer: Scorer) -> dict[str, Any]:
    """Return a model's metadata."""
    manifest = scorer.manifest
    inputs = [
        {
            "name": c.name,
            "datatype": _datatype(c),
            "shape": _sides(c),
            "parameters": {"type": c.type, "nullable": c.nullable},
        }
        for c in manifest.inputs
    ]
    outputs = [
        {"name": c.name, "datatype": "FP32" if c.type == "number" else _datatype(c), "shape": _sides(c)}
        for c in manifest.outputs
    ]
    return {
        "name": scorer.spec.endpoint,
        "versions": [str(scorer.spec.version)],
        "platform": f"mlopsfw_{next(iter(manifest.formats), 'unknown')}",
        "inputs": inputs,
        "outputs": outputs,
        "parameters": {
            "model": scorer.spec.model, "bundle": scorer.spec.bundle, "revision": scorer.spec.revision,
            "task": manifest.task, "classes": list(manifest.classes),
        },
    }  # fmt: skip
