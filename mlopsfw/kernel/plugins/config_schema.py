"""The JSON Schema of `mlopsfw.toml`, made from the records that read it: editors check what the kernel checks."""

from __future__ import annotations

import warnings
from typing import Any

import msgspec

from mlopsfw.kernel.base.errors import PluginError
from mlopsfw.kernel.config.model import CaptureConfig, DataConfig, PrivacyConfig, StepConfig
from mlopsfw.kernel.plugins.manager import PluginManager

_ONE = ("storage", "trainer", "deployer", "engine")
_MANY = ("monitor", "alerter")
Schema = dict[str, Any]


def config_schema(plugins: PluginManager) -> Schema:
    """Return the schema (draft 2020-12).

    The options of each installed provider are in it; a broken plugin's are left open.
    """
    definitions: Schema = {}
    properties: Schema = {
        "project": _closed({"name": {"type": "string"}, "code": _strings()}),
        "plugins": _closed({"disabled": _strings()}),
        "runtime": _closed(_options(plugins, "runtime", definitions)),
        "observer": _closed({claim.name: {"type": "object"} for claim in plugins.catalog.of("observer")}),
        "data": {"type": "object", "additionalProperties": _refer(DataConfig, definitions)},
        "privacy": _refer(PrivacyConfig, definitions),
        "capture": _refer(CaptureConfig, definitions),
        "steps": {"type": "object", "additionalProperties": _step(definitions)},
        "env": {"type": "object", "additionalProperties": {"$ref": "#"}},
    }
    properties |= {role: _selection(plugins, role, definitions) for role in _ONE}
    properties["storage"]["properties"] |= {
        "encrypt": {"anyOf": [{"type": "string"}, _strings()]},
        "tables": {"enum": ["encrypted-disk"]},
    }
    properties |= {role: {"type": "array", "items": _selection(plugins, role, definitions)} for role in _MANY}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "mlopsfw.toml"}
    return head | _closed(properties) | {"$defs": definitions}


def _closed(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _strings() -> Schema:
    return {"type": "array", "items": {"type": "string"}}


def _selection(plugins: PluginManager, role: str, definitions: Schema) -> Schema:
    options = _options(plugins, role, definitions)
    return _closed({"use": {"enum": sorted(options)}} | options)


def _options(plugins: PluginManager, role: str, definitions: Schema) -> Schema:
    return {claim.name: _config_of(plugins, role, claim.name, definitions) for claim in plugins.catalog.of(role)}


def _config_of(plugins: PluginManager, role: str, name: str, definitions: Schema) -> Schema:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the schema is printed all the same
            _, provider = plugins.provider(role, name)
    except PluginError:
        return {"type": "object"}
    return _refer(provider.config, definitions)


def _refer(kind: type[msgspec.Struct], definitions: Schema) -> Schema:
    (reference,), components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    definitions.update(components)
    return reference


def _step(definitions: Schema) -> Schema:
    reference = _refer(StepConfig, definitions)
    definitions["StepConfig"].pop("additionalProperties", None)  # a built-in step's own parameters stand beside these
    return reference
