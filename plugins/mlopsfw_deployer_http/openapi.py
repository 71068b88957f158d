"""The endpoint's OpenAPI document, generated from the model's signature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlopsfw.capturelog.labels import LONGEST_ID
from mlopsfw_deployer_http.inference import describe

if TYPE_CHECKING:
    from mlopsfw.roles import SignatureColumn
    from mlopsfw.worker import Scorer

_TYPES = {"number": "number", "integer": "integer", "boolean": "boolean"}
_FORMATS: dict[str, dict[str, Any]] = {
    "date": {"format": "date"}, "datetime": {"format": "date-time"}, "binary": {"contentEncoding": "base64"},
}  # fmt: skip
_ERRORS = {
    "400": "The request does not fit the model; `error` names column and row.",
    "401": "A bearer token is needed.",
    "403": "Unknown Host or foreign Origin.",
    "413": "The body is too long.",
    "415": "The body is not JSON.",
    "429": "Too many labels; `Retry-After` says when to send them again.",
}


def document(scorer: Scorer) -> dict[str, Any]:
    """Return the document, OpenAPI 3.1."""
    base = f"/v2/models/{scorer.spec.endpoint}"
    labels = {
        "prediction_id": {"type": "string", "minLength": 1, "maxLength": LONGEST_ID},
        "label": {"type": ["string", "number", "boolean"]},
        "label_time": _time(),
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": f"{scorer.spec.endpoint}: {scorer.spec.model}@{scorer.spec.version}", "version": str(scorer.spec.version)},
        "paths": {
            "/v2/health/live": _get("Whether the process is alive", public=True),
            "/v2/health/ready": _get("Whether it answers predictions", public=True),
            "/v2": _get("The server"),
            base: _get("The model's inputs and outputs"),
            f"{base}/ready": _get("Whether the model answers predictions"),
            f"{base}/infer": _post("Score rows: Open Inference Protocol v2", _infer(scorer), _inferred(scorer)),
            f"{base}/versions/{scorer.spec.version}/infer": _post("The same, for this version only", _infer(scorer), _inferred(scorer)),
            "/invocations": _post("Score rows: MLflow's protocol", _records(scorer)),
            "/labels": _post("Add the true outcomes of predictions", _object({"labels": _array(_object(labels, "label_time"))})),
            "/metrics": _get("Prometheus metrics"),
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }  # fmt: skip


def _get(summary: str, *, public: bool = False) -> dict[str, Any]:
    security: list[dict[str, Any]] = [{}] if public else [{}, {"token": []}]
    return {"get": {"summary": summary, "security": security, "responses": _responses()}}


def _post(summary: str, schema: dict[str, Any], answer: dict[str, Any] | None = None) -> dict[str, Any]:
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    responses = _responses()
    if answer is not None:
        responses["200"] = {**responses["200"], "content": {"application/json": {"schema": answer}}}
    return {"post": {"summary": summary, "security": [{}, {"token": []}], "requestBody": body, "responses": responses}}


def _responses() -> dict[str, Any]:
    error = {"application/json": {"schema": _object({"error": {"type": "string"}})}}
    refused = {status: {"description": text, "content": error} for status, text in _ERRORS.items()}
    return {"200": {"description": "Done"}, **refused, "503": {"description": "Not ready, or draining"}}


def _object(properties: dict[str, Any], *optional: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
    }


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1}


def _time() -> dict[str, Any]:
    return {"type": "string", "format": "date-time"}


def _value(column: SignatureColumn) -> dict[str, Any]:
    """Return the schema of one row's value."""
    if column.type == "list":
        return {"type": _or_null("array", column), "items": _scalar(column.items or "number")}
    if column.type == "tensor":
        return _nested(column)
    return {**_scalar(column.type), "type": _or_null(_TYPES.get(column.type, "string"), column)}


def _or_null(kind: str, column: SignatureColumn) -> str | list[str]:
    return [kind, "null"] if column.nullable else kind


def _scalar(kind: str) -> dict[str, Any]:
    return {"type": _TYPES.get(kind, "string"), **_FORMATS.get(kind, {})}


def _nested(column: SignatureColumn) -> dict[str, Any]:
    """Return the schema of one row's tensor as lists in lists, of fixed length where a side is fixed."""
    schema: dict[str, Any] = _element(column)
    for side in reversed(column.shape):
        length = {} if side is None else {"minItems": side, "maxItems": side}
        schema = {"type": "array", "items": schema, **length}
    return schema


def _element(column: SignatureColumn) -> dict[str, Any]:
    dtype = column.dtype or "float32"
    kind = "boolean" if dtype == "bool" else "number" if dtype.startswith("float") else "integer"
    return {"type": _or_null(kind, column) if kind == "number" else kind}


def _data(column: SignatureColumn) -> dict[str, Any]:
    """Return the schema of a column's values in a request: of lists and tensors, nested or flat."""
    if column.type == "list":
        return {"anyOf": [_array(_value(column)), {"type": "array", "items": _scalar(column.items or "number")}]}
    if column.type == "tensor" and column.shape:
        return {"anyOf": [_array(_value(column)), {"type": "array", "items": _element(column)}]}
    return _array(_value(column))


def _tensor(described: Mapping[str, Any], column: SignatureColumn) -> dict[str, Any]:
    """Return the schema of a named tensor. The first side is the rows; a side of any length is no constant."""
    sides = [{"type": "integer", "minimum": 1}]
    sides += [{"type": "integer"} if side is None or side < 0 else {"const": side} for side in described["shape"][1:]]
    longest = len(sides) if column.type in ("list", "tensor") else 2  # [rows, 1] is accepted too
    return _object({
        "name": {"const": described["name"]}, "datatype": {"type": "string", "examples": [described["datatype"]]},
        "shape": {"type": "array", "prefixItems": sides, "minItems": len(sides), "maxItems": longest}, "data": _data(column),
    })  # fmt: skip


def _infer(scorer: Scorer) -> dict[str, Any]:
    tensors = [
        _tensor(tensor, column)
        for tensor, column in zip(describe(scorer)["inputs"], scorer.manifest.inputs, strict=True)
    ]
    inputs = {"type": "array", "minItems": len(tensors), "items": {"anyOf": tensors}}
    alpha = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
    optional = {"event_time": _time(), "alpha": alpha, "explain": {"type": "boolean"}}
    parameters = _object(optional, *optional)
    return _object({"inputs": inputs, "id": {"type": "string"}, "parameters": parameters}, "id", "parameters")


def _inferred(scorer: Scorer) -> dict[str, Any]:
    tensors = [
        _tensor(tensor, column)
        for tensor, column in zip(describe(scorer)["outputs"], scorer.manifest.outputs, strict=True)
    ]
    return {
        "type": "object",
        "properties": {"outputs": {"type": "array", "items": {"anyOf": tensors}}},
        "required": ["outputs"],
    }


def _records(scorer: Scorer) -> dict[str, Any]:
    row = _object({column.name: _value(column) for column in scorer.manifest.inputs})
    forms = ("dataframe_records", "instances", "inputs")
    return {"oneOf": [*(_object({form: _array(row)}) for form in forms), _object({"dataframe_split": _split()})]}


def _split() -> dict[str, Any]:
    return _object({"columns": _array({"type": "string"}), "data": _array({"type": "array"})}, "columns")
