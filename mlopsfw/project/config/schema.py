"""The JSON Schema of `mlopsfw.toml`, made from the records that read it: editors check what the kernel checks."""

from __future__ import annotations

import warnings
from typing import Any

import msgspec

from mlopsfw.kernel.base.errors import PluginError
from mlopsfw.kernel.config.model import AuditConfig, CaptureConfig, DataConfig, PrivacyConfig, StepConfig
from mlopsfw.kernel.plugins.manager import PluginManager
from mlopsfw.kernel.roles.names import KINDS, chosen_as
from mlopsfw.monitoring.settings import MonitorSettings

Schema = dict[str, Any]

_TIMEOUT: Schema = {"timeout": {"type": "number", "exclusiveMinimum": 0}}


def config_schema(plugins: PluginManager) -> Schema:
    """Return the schema (draft 2020-12).

    The options of each installed provider are in it; a broken plugin's are left open.
    """
    definitions: Schema = {}
    properties: Schema = {
        "project": _closed({"name": {"type": "string"}, "code": _strings()}),
        "plugins": _closed({name: _strings() for name in ("disabled", "modules", "allow_private")}),
        "data": {"type": "object", "additionalProperties": _refer(DataConfig, definitions)},
        "privacy": _refer(PrivacyConfig, definitions),
        "capture": _refer(CaptureConfig, definitions),
        "audit": _refer(AuditConfig, definitions),
        "steps": _steps(plugins, definitions),
    }
    properties |= {kind: _by_name(plugins, kind, definitions) for kind in chosen_as("name", "all")}
    properties |= {role: _single(plugins, role, definitions) for role in chosen_as("one")}
    properties["storage"]["properties"] |= {
        "encrypt": {"anyOf": [{"type": "string"}, _strings()]},
        "tables": {"enum": ["encrypted-disk"]},
    }
    many = chosen_as("many")
    properties |= {role: {"type": "array", "items": _several(plugins, role, definitions)} for role in many}
    by_name = {role: {"anyOf": [properties[role], {"type": "object"}]} for role in many}
    properties["env"] = {"type": "object", "additionalProperties": _closed(properties | by_name)}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "mlopsfw.toml"}
    return head | _closed(properties) | {"$defs": definitions}


def _closed(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _strings() -> Schema:
    return {"type": "array", "items": {"type": "string"}}


def _single(plugins: PluginManager, role: str, definitions: Schema) -> Schema:
    """Return the schema of `[trainer]`: the options of kinds, and providers with a `use` under names of their own."""
    options = _options(plugins, role, definitions)
    named = {"$ref": f"#/$defs/{role}"}
    definitions[role] = _configured(options, {"use": {"enum": sorted(options)}}, definitions) | {"required": ["use"]}
    kinds = {kind: {"if": {"required": ["use"]}, "then": named, "else": schema} for kind, schema in options.items()}
    use = {"anyOf": [{"enum": sorted(options)}, {"type": "string"}]}
    return {"type": "object", "properties": {"use": use} | kinds, "additionalProperties": named}


def _several(plugins: PluginManager, role: str, definitions: Schema) -> Schema:
    """Return the schema of one `[[monitor]]`, whose kind may be said by the one table below it."""
    options = _options(plugins, role, definitions)
    own = {"use": {"enum": sorted(options)}, "name": {"type": "string"}}
    if KINDS[role].timeout:
        own |= _TIMEOUT
    if KINDS[role].settings:
        _refer(MonitorSettings, definitions)
        own |= definitions.pop("MonitorSettings")["properties"]
    schema = _configured(options, own, definitions)
    return {"if": {"required": ["use"]}, "then": schema, "else": _closed(own | options)}


def _configured(options: Schema, own: Schema, definitions: Schema) -> Schema:
    """Return the schema of a provider with its `use`: options stand beside it, or all in a table called after its kind."""
    nested = _closed(own | options)
    beside = {
        kind: schema if "$ref" not in schema else _beside(definitions[schema["$ref"].rpartition("/")[2]], own)
        for kind, schema in options.items()
    }
    cases = [_when({"use": {"const": kind}}, {"anyOf": [nested, beside[kind]]}) for kind in sorted(options)]
    return {"type": "object", "properties": own, "allOf": cases}


def _beside(record: Schema, own: Schema) -> Schema:
    """Return a record's schema with the keys that stand beside its own."""
    return record | {"properties": own | record.get("properties", {})}


def _options(plugins: PluginManager, role: str, definitions: Schema) -> Schema:
    return {claim.name: _config_of(plugins, role, claim.name, definitions) for claim in plugins.catalog.of(role)}


def _by_name(plugins: PluginManager, kind: str, definitions: Schema) -> Schema:
    """Return the schema of `[format]` and the like: the options of each kind, and mlopsfw's time limit where there is one."""
    options = _options(plugins, kind, definitions)
    if KINDS[kind].timeout:
        options = {
            name: schema if "$ref" not in schema else _beside(definitions[schema["$ref"].rpartition("/")[2]], _TIMEOUT)
            for name, schema in options.items()
        }
    return _closed(options)


def _config_of(plugins: PluginManager, role: str, name: str, definitions: Schema) -> Schema:
    if not KINDS[role].builds:
        return {"type": "object"}  # it declares no record of its options, and takes any
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the schema is printed all the same
            _, provider = plugins.provider(role, name)
    except PluginError:
        return {"type": "object"}
    return _refer(provider.config, definitions, owner=f"{role}.{name}.")


def _refer(kind: type[msgspec.Struct], definitions: Schema, owner: str = "") -> Schema:
    """Add a record's schema under a name that no other plugin's record has; return the reference to it."""
    (reference,), components = msgspec.json.schema_components([kind], ref_template=f"#/$defs/{owner}{{name}}")
    definitions.update({f"{owner}{name}": schema for name, schema in components.items()})
    return reference


def _steps(plugins: PluginManager, definitions: Schema) -> Schema:
    """Return the schema of `[steps]`: a step has its own keys, and those of what it uses.

    A step that says neither `use` nor `python` uses what it is called after.
    """
    options = _options(plugins, "step", definitions)
    _refer(StepConfig, definitions)
    own = definitions.pop("StepConfig")["properties"]
    for name, option in options.items():
        definitions[f"Step.{name}"] = _with_own_keys(option, own, definitions)
    uses = [_when({"use": {"const": name}}, {"$ref": f"#/$defs/Step.{name}"}) for name in sorted(options)]
    python = _when({"python": {}}, _closed(own))
    definitions["Step"] = {
        "type": "object",
        "properties": {"use": {"enum": sorted(options)}, "python": own["python"]},
        "allOf": [*uses, python],
    }
    named = {name: _unless_said(f"#/$defs/Step.{name}") for name in sorted(options)}
    return {"type": "object", "properties": named, "additionalProperties": {"$ref": "#/$defs/Step"}}


def _with_own_keys(option: Schema, own: Schema, definitions: Schema) -> Schema:
    """Return the schema of a step that uses an installed one; what a broken plugin takes is left open."""
    reference = option.get("$ref")
    if reference is None:
        return {"type": "object", "properties": own}
    kind = definitions[reference.rpartition("/")[2]]
    required = [{"required": kind.get("required", [])}, {"required": ["params"]}]
    return {key: value for key, value in _beside(kind, own).items() if key != "required"} | {"anyOf": required}


def _when(condition: Schema, then: Schema) -> Schema:
    return {"if": {"properties": condition, "required": list(condition)}, "then": then}


def _unless_said(reference: str) -> Schema:
    said = {"anyOf": [{"required": ["use"]}, {"required": ["python"]}]}
    return {"if": said, "then": {"$ref": "#/$defs/Step"}, "else": {"$ref": reference}}
