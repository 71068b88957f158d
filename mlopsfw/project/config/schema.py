"""The JSON Schema of `mlopsfw.toml`, made from the records that read it: editors check what the kernel checks.

Each key has a description: what the docstring of its record says of it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import msgspec

from mlopsfw.kernel.base.errors import PluginError
from mlopsfw.kernel.config.model import (
    AuditConfig,
    CaptureConfig,
    DataConfig,
    Encryption,
    Objective,
    PrivacyConfig,
    Selection,
    StepConfig,
)
from mlopsfw.kernel.plugins.catalog import Claim
from mlopsfw.kernel.plugins.manager import PluginManager
from mlopsfw.kernel.roles import hookspecs
from mlopsfw.kernel.roles.names import KINDS, Kind, chosen_as
from mlopsfw.monitoring.settings import MonitorSettings
from mlopsfw.project.config.docstrings import description, meanings, summary
from mlopsfw.project.config.file import PluginsTable, ProjectTable
from mlopsfw.project.observer_options import declared

Schema = dict[str, Any]

_CHOICE = {
    "one": '`use = "NAME"` selects one; `[{0}.NAME]` has its options, or with a `use` gives a second one a name.',
    "many": "One table for each that is used: its `use`, its options, and `name` where two have the same `use`.",
    "name": "`[{0}.NAME]` has the options of one; what is read or named says which is used.",
    "all": "Every installed one takes part; `[{0}.NAME]` has the options of one.",
}
_TABLES: dict[str, type[msgspec.Struct]] = {
    "project": ProjectTable,
    "objective": Objective,
    "plugins": PluginsTable,
    "data": DataConfig,
    "privacy": PrivacyConfig,
    "capture": CaptureConfig,
    "audit": AuditConfig,
}
_ENV = "Environments: `mlopsfw --env NAME` lays the keys of `[env.NAME]` over the others of this file."
_STEPS = "The pipeline: a table for each step, in any order; `inputs` connects them."
_SELECTION = meanings(Selection)


def config_schema(plugins: PluginManager) -> Schema:
    """Return the schema (draft 2020-12).

    The options of each installed provider are in it; a broken plugin's are left open.
    """
    definitions: Schema = {}
    properties = {name: _table(record, definitions) for name, record in _TABLES.items()}
    properties["steps"] = {"description": _STEPS} | _steps(plugins, definitions)
    properties |= _roles(plugins, definitions)
    many = chosen_as("many")
    by_name = {role: {"anyOf": [properties[role], {"type": "object"}]} for role in many}
    for role, either in by_name.items():
        either["description"] = properties[role]["description"]
    overlay = _closed(properties | by_name)
    properties["env"] = {"type": "object", "additionalProperties": overlay, "description": _ENV}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "mlopsfw.toml"}
    return head | _closed(properties) | {"$defs": definitions}


def _table(record: type[msgspec.Struct], definitions: Schema) -> Schema:
    reference = _refer(record, definitions)
    whole = {
        DataConfig: {"type": "object", "additionalProperties": reference},
        Objective: {"type": "array", "items": reference},
    }.get(record, reference)
    return whole | {"description": description(record)}


def _roles(plugins: PluginManager, definitions: Schema) -> Schema:
    """Return the schemas of `[trainer]`, `[[monitor]]`, `[format]` and the like."""
    properties: Schema = {kind: _by_name(plugins, kind, definitions) for kind in chosen_as("name", "all")}
    properties |= {role: _single(plugins, role, definitions) for role in chosen_as("one")}
    _refer(Encryption, definitions)
    encryption = definitions.pop("Encryption")["properties"]
    encryption["encrypt"] = {
        "anyOf": [{"type": "string"}, _strings()],
        "description": encryption["encrypt"]["description"],
    }
    properties["storage"]["properties"] |= encryption
    many = chosen_as("many")
    properties |= {role: {"type": "array", "items": _several(plugins, role, definitions)} for role in many}
    for name, schema in properties.items():
        schema["description"] = _about(KINDS[name])
    return properties


def _about(kind: Kind) -> str:
    """Return what a kind of plugin is for, as its hook says, and how a project chooses one."""
    purpose = re.split(r"[.;](?= |$)", summary(getattr(hookspecs, kind.spec)).removeprefix("Offer "))[0]
    return f"{purpose[:1].upper()}{purpose[1:]}. {_CHOICE[kind.choice].format(kind.name)}"


def _closed(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _strings() -> Schema:
    return {"type": "array", "items": {"type": "string"}}


def _single(plugins: PluginManager, role: str, definitions: Schema) -> Schema:
    """Return the schema of `[trainer]`: the options of kinds, and providers with a `use` under names of their own."""
    options = _options(plugins, role, definitions)
    named = {"$ref": f"#/$defs/{role}"}
    definitions[role] = _configured(options, {"use": _use(options)}, definitions) | {"required": ["use"]}
    kinds = {
        kind: {
            "if": {"required": ["use"]},
            "then": named,
            "else": schema,
            "description": schema["description"],
        }
        for kind, schema in options.items()
    }
    own_names = "The provider's kind, or the name of a provider that has a table of its own here."
    use = {"anyOf": [{"enum": sorted(options)}, {"type": "string"}], "description": own_names}
    return {"type": "object", "properties": {"use": use} | kinds, "additionalProperties": named}


def _use(options: Schema) -> Schema:
    return {"enum": sorted(options), "description": _SELECTION["use"]}


def _timeout(role: str) -> Schema:
    """Return the key that every provider of a role with a time limit has."""
    if not (limit := KINDS[role].timeout):
        return {}
    says = f"Seconds after which a call has failed; {limit:g} by default."
    return {"timeout": {"type": "number", "exclusiveMinimum": 0, "description": says}}


def _several(plugins: PluginManager, role: str, definitions: Schema) -> Schema:
    """Return the schema of one `[[monitor]]`, whose kind may be said by the one table below it."""
    options = _options(plugins, role, definitions)
    own = {"use": _use(options), "name": {"type": "string", "description": _SELECTION["name"]}} | _timeout(role)
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
    return {claim.name: _config_of(plugins, claim, definitions) for claim in plugins.catalog.of(role)}


def _by_name(plugins: PluginManager, kind: str, definitions: Schema) -> Schema:
    """Return the schema of `[format]` and the like: the options of each kind, and mlopsfw's time limit where there is one."""
    options = _options(plugins, kind, definitions)
    if limit := _timeout(kind):
        for name, schema in options.items():
            if "$ref" in schema:
                record = _beside(definitions[schema["$ref"].rpartition("/")[2]], limit)
                options[name] = record | {"description": schema["description"]}
    return _closed(options)


def _config_of(plugins: PluginManager, claim: Claim, definitions: Schema) -> Schema:
    """Return the schema of a provider's options, with what the provider is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the schema is printed all the same
            record, says = _declared(plugins, claim)
    except PluginError:
        return {"type": "object", "description": f"Options of {claim}, which is broken: `mlopsfw doctor` says why."}
    if record is None:
        says = f"Options of {claim.key}. It declares no record of them; its own documentation lists them."
        return {"type": "object", "description": says}
    return _refer(record, definitions, owner=f"{claim.key}.") | {"description": says}


def _declared(plugins: PluginManager, claim: Claim) -> tuple[type[msgspec.Struct] | None, str]:
    """Return the record of a plugin's options, with what the plugin is; None for an observer that declares none."""
    if KINDS[claim.kind].builds:
        _, provider = plugins.provider(claim.kind, claim.name)
        return provider.config, f"{provider.summary}."
    record = declared(plugins, claim)
    return record, description(record) if record else ""


def _refer(kind: type[msgspec.Struct], definitions: Schema, owner: str = "") -> Schema:
    """Add a record's schema under a name that no other plugin's record has; return the reference to it."""
    (reference,), components = msgspec.json.schema_components([kind], ref_template=f"#/$defs/{owner}{{name}}")
    for record in _records(kind):
        if schema := components.get(record.__name__):
            _describe(schema, record)
    definitions.update({f"{owner}{name}": schema for name, schema in components.items()})
    return reference


def _records(hint: Any) -> Iterator[type[msgspec.Struct]]:
    """Yield the records in an annotation, and those in their fields."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield hint
        for inner in get_type_hints(hint, include_extras=True).values():
            yield from _records(inner)
    for argument in get_args(hint):
        yield from _records(argument)


def _describe(schema: Schema, record: type[msgspec.Struct]) -> None:
    """Give a record's schema, and each key of it that has none, the words of its docstring."""
    texts = meanings(record)
    schema["description"] = description(record)
    for field in msgspec.structs.fields(record):
        key = schema["properties"][field.encode_name]
        if "description" not in key and (text := texts.get(field.name)):
            key["description"] = text


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
        "properties": {"use": own["use"] | {"enum": sorted(options)}, "python": own["python"]},
        "allOf": [*uses, python],
    }
    named = {
        name: _unless_said(f"#/$defs/Step.{name}") | {"description": options[name]["description"]}
        for name in sorted(options)
    }
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
