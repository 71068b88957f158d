"""The endpoint's OpenAPI document, generated from the model's signature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlopsfw.capturelog.labels import LONGEST_ID
from mlopsfw_deployer_http.inference import describe

if TYPE_CHECKING:
    from mlopsfw.roles import SignatureColumn
    from mlopsfw.worker import Scorer

_TYPES = {"number": "number", "integer": "integer", "boolean": "boolean"}
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
            f"{base}/infer": _post("Score rows: Open Inference Protocol v2", _infer(scorer)),
            f"{base}/versions/{scorer.spec.version}/infer": _post("The same, for this version only", _infer(scorer)),
            "/invocations": _post("Score rows: MLflow's protocol", _records(scorer)),
            "/labels": _post("Add the true outcomes of predictions", _object({"labels": _array(_object(labels, "label_time"))})),
            "/metrics": _get("Prometheus metrics"),
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }  # fmt: skip


def _get(summary: str, *, public: bool = False) -> dict[str, Any]:
    security: list[dict[str, Any]] = [{}] if public else [{}, {"token": []}]
    return {"get": {"summary": summary, "security": security, "responses": _responses()}}


def _post(summary: str, schema: dict[str, Any]) -> dict[str, Any]:
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    return {
        "post": {"summary": summary, "security": [{}, {"token": []}], "requestBody": body, "responses": _responses()}
    }


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
    if column.type in ("list", "tensor"):
        return {"type": ["array", "null"] if column.nullable else "array"}
    kind = _TYPES.get(column.type, "string")
    return {"type": [kind, "null"] if column.nullable else kind}


def _infer(scorer: Scorer) -> dict[str, Any]:
    tensors = [
        _object({
            "name": {"const": tensor["name"]}, "datatype": {"type": "string", "examples": [tensor["datatype"]]},
            "shape": {"type": "array", "items": {"type": "integer"}}, "data": _array(_value(column)),
        })
        for tensor, column in zip(describe(scorer)["inputs"], scorer.manifest.inputs, strict=True)
    ]  # fmt: skip
    inputs = {"type": "array", "minItems": len(tensors), "items": {"anyOf": tensors}}
    parameters = _object({"event_time": _time()}, "event_time")
    return _object({"inputs": inputs, "id": {"type": "string"}, "parameters": parameters}, "id", "parameters")


def _records(scorer: Scorer) -> dict[str, Any]:
    row = _object({column.name: _value(column) for column in scorer.manifest.inputs})
    forms = ("dataframe_records", "instances", "inputs")
    return {"oneOf": [*(_object({form: _array(row)}) for form in forms), _object({"dataframe_split": _split()})]}


def _split() -> dict[str, Any]:
    return _object({"columns": _array({"type": "string"}), "data": _array({"type": "array"})}, "columns")
