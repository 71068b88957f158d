"""Read `mlopsfw.toml`: find it, apply the overlay and the overrides, and check every key before anything runs."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from mlopsfw.kernel.base.errors import ConfigError, UsageError
from mlopsfw.kernel.base.ids import check_name, nearest
from mlopsfw.kernel.base.spans import duration
from mlopsfw.kernel.config.locate import key_lines
from mlopsfw.kernel.config.model import (
    AuditConfig,
    CaptureConfig,
    DataConfig,
    Definition,
    Encryption,
    Objective,
    PrivacyConfig,
    ProjectConfig,
    Selection,
    StepConfig,
)
from mlopsfw.kernel.config.validation import Fail, validation_error
from mlopsfw.kernel.roles.names import chosen_as
from mlopsfw.kernel.workspace import STATE
from mlopsfw.privacy.secrets import is_reference, scheme_hint
from mlopsfw.project.config.plaintext_secrets import plaintext_secrets
from mlopsfw.project.config.selections import merged, several, single
from mlopsfw.project.secrets import Schemes

if TYPE_CHECKING:
    from mlopsfw.kernel.plugins.catalog import Claim

FILE_NAME = "mlopsfw.toml"

_TABLES = ("project", "objective", "plugins", "data", "privacy", "capture", "audit", "steps", "env")
_STEP = StepConfig.__struct_fields__

T = TypeVar("T")


class ProjectTable(Definition, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The project itself.

    Args:
        name: The project's name; by default the name of its folder.
        code: Folders, relative to the project, from which its Python modules are imported.
    """

    name: str | None = None
    code: tuple[str, ...] = (".",)


class PluginsTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which plugins take part.

    Args:
        disabled: Entry points never to load, such as `observer.acme`.
        modules: Modules of the project's own code that are plugins.
        allow_private: Plugins, by entry point, whose `Host.http` may call addresses that are not public.
    """

    disabled: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    allow_private: tuple[str, ...] = ()


def find_project(start: Path | None = None) -> Path:
    """Return the nearest `mlopsfw.toml` at or above `start` (the current folder).

    Raise `UsageError` if there is none, or no such folder.
    """
    here = (start or Path.cwd()).absolute()
    if here.is_file():
        return here
    if not here.is_dir():
        raise UsageError(f"there is no folder {here}", hint="Name the folder of the project, or its mlopsfw.toml.")
    for folder in (here, *here.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise UsageError(
        f"no {FILE_NAME} in {here} or above it", hint="Run `mlopsfw init` here, or name a project with --project."
    )


_INT64 = 1 << 63


def load_config(file: Path, *, env: str | None = None, overrides: Sequence[str] = ()) -> ProjectConfig:
    """Read `file`, lay `[env.<env>]` over it, then each `a.b=value` of `overrides`.

    Raises:
        ConfigError: A syntax error, an unknown key or environment, or a value of the wrong type; nothing is run.
    """
    text = _read(file)
    lines = key_lines(text)
    tree = _parse(text, file)

    def fail(message: str, key: str, *, hint: str = "") -> ConfigError:
        return ProjectConfig(name="", file=str(file), lines=lines).error(message, key, hint=hint)

    stores = _secret_schemes(dict(tree), fail, file, lines)
    for key, problem, hint in plaintext_secrets(tree, stores):
        raise fail(problem, key, hint=hint)
    overlays = tree.pop("env", {})
    if env is not None:
        if env not in overlays:
            raise fail(f"there is no environment {env!r}", "env", hint=nearest(env, overlays))
        tree = merged(tree, overlays[env])
    for override in overrides:
        changed = _override(override)
        for key, problem, hint in plaintext_secrets(changed, stores):
            raise ConfigError(f"--set {key} {problem}", hint=hint)
        tree = merged(tree, changed)
    return _build(tree, fail, stores, file=str(file), env=env or "", lines=lines)


def _secret_schemes(tree: Mapping[str, Any], fail: Fail, file: Path, lines: dict[str, int]) -> Schemes:
    """Return the schemes of the secret stores that a file may refer to. The tables of every overlay count."""

    def claims() -> list[Claim]:
        from mlopsfw.kernel.plugins.catalog import installed
        from mlopsfw.project.own_plugins import own_claims

        code = _convert(_table(tree, "project", fail), ProjectTable, "project", fail).code
        modules = _convert(_table(tree, "plugins", fail), PluginsTable, "plugins", fail).modules
        config = ProjectConfig(name="", code=code, modules=modules, file=str(file), lines=lines)
        return [*installed(), *own_claims(file.parent, config)]

    overlays = tree.get("env", {})
    trees = [tree, *(overlays.values() if isinstance(overlays, dict) else ())]
    tables = [table.get("secrets") for table in trees if isinstance(table, dict)]
    return Schemes(claims, [name for table in tables if isinstance(table, dict) for name in table])


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(
            f"{file} does not exist", hint="Run `mlopsfw init`, or name a project with --project."
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 at byte {error.start}", file=file, hint="Save the file as UTF-8.") from None


def _parse(text: str, file: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"line (\d+)", str(error))
        line = int(where[1]) if where else text.count("\n") + 1
        raise ConfigError(f"not valid TOML: {error}", file=file, line=line) from None


def _override(text: str) -> dict[str, Any]:
    import tomllib

    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text!r} is not KEY=VALUE", hint="Write --set trainer.torch.epochs=3.")
    try:
        parsed: Any = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value  # a bare word is a string, so that a shell needs no second pair of quotes
    for part in reversed(key.strip().split(".")):
        parsed = {part: parsed}
    return dict(parsed)


def _build(tree: dict[str, Any], fail: Fail, stores: Collection[str], **origin: Any) -> ProjectConfig:
    _only(tree, (*_TABLES, *chosen_as("one", "many", "name", "all")), "", fail)
    _check_numbers(tree, "", fail)
    project = _convert(_table(tree, "project", fail), ProjectTable, "project", fail)
    plugins = _convert(_table(tree, "plugins", fail), PluginsTable, "plugins", fail)
    name = _project_name(project, origin["file"], fail)
    encryption = _encryption(tree, fail, stores)
    chosen = {role: single(tree[role], role, fail) for role in chosen_as("one") if role in tree}
    arrays = {role: several(tree[role], role, fail) for role in chosen_as("many") if role in tree}
    _check_settings(arrays.get("monitor", ()), fail)
    fields: dict[str, Any] = {
        "selected": {role: [default] for role, (default, _) in chosen.items()} | arrays,
        "named": {role: named for role, (_, named) in chosen.items() if named},
        "options": {kind: _options(tree, kind, fail) for kind in chosen_as("name", "all") if kind in tree},
    }
    fields["encryption"] = encryption
    data = _table(tree, "data", fail)
    fields["data"] = {key: _convert(_table(data, key, fail, "data."), DataConfig, f"data.{key}", fail) for key in data}
    fields["privacy"] = _convert(_table(tree, "privacy", fail), PrivacyConfig, "privacy", fail)
    _check_key(fields, fail, stores)
    fields["capture"] = _capture(tree, fail)
    fields["audit"] = _audit(tree, fail, Path(origin["file"]).absolute().parent)
    fields["definition"] = {key: getattr(project, key) for key in Definition.__struct_fields__}
    fields["objectives"] = _objectives(tree.get("objective", []), fail)
    steps = _table(tree, "steps", fail)
    fields["steps"] = {key: _step(key, _table(steps, key, fail, "steps."), fail) for key in steps}
    plain = {"name": name, "code": project.code, **msgspec.structs.asdict(plugins)}
    return _convert({**plain, **msgspec.to_builtins(fields), **origin}, ProjectConfig, "", fail)


def _check_numbers(value: Any, key: str, fail: Fail) -> None:
    """Refuse numbers that JSON cannot hold: a worker would read them as null."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_numbers(inner, f"{key}.{name}" if key else name, fail)
    elif isinstance(value, list):
        for inner in value:
            _check_numbers(inner, key, fail)
    elif isinstance(value, float) and not math.isfinite(value):
        raise fail(f"{value} is not a finite number", key, hint="Leave the key out, or write a number.")
    elif isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise fail(f"{str(value)[:30]} does not fit into 64 bits", key, hint="Write a smaller number.")


def _project_name(project: ProjectTable, file: str, fail: Fail) -> str:
    name = project.name
    if name is None:
        name = Path(file).absolute().parent.name.lower() if file else "project"
    try:
        return check_name(name, "project name")
    except UsageError as error:
        raise fail(error.message, "project.name", hint=error.hint) from None


def _objectives(tables: Any, fail: Fail) -> list[Objective]:
    if not isinstance(tables, list):
        raise fail("must be an array of tables", "objective", hint="Write [[objective]], once for each.")
    if not tables:
        return []
    from mlopsfw.models.objectives import rule_of

    objectives = []
    for number, table in enumerate(tables):
        key = f"objective.{number}"
        each = _convert(table, Objective, key, fail)
        try:
            rule_of(each)
            if each.on:
                check_name(each.on, "model")
        except UsageError as error:
            raise fail(error.message, key, hint='Write metric = "auc" and target = ">= 0.7".') from None
        try:
            date.fromisoformat(each.by or "2000-01-01")
        except ValueError:
            raise fail(f"{each.by!r} is no date", f"{key}.by", hint='Write by = "2027-01-01".') from None
        objectives.append(each)
    return objectives


def _check_settings(monitors: Sequence[Selection], fail: Fail) -> None:
    if not monitors:
        return
    from mlopsfw.monitoring.settings import MonitorSettings

    for each in monitors:
        _convert(each.settings, MonitorSettings, each.key, fail)


def _options(tree: Mapping[str, Any], kind: str, fail: Fail) -> dict[str, dict[str, Any]]:
    options = _table(tree, kind, fail)
    return {name: _table(options, name, fail, f"{kind}.") for name in options}


def _table(tree: Mapping[str, Any], key: str, fail: Fail, above: str = "") -> dict[str, Any]:
    value = tree.get(key, {})
    if not isinstance(value, dict):
        raise fail(f"must be a table, not {type(value).__name__}", above + key, hint=f"Write [{above}{key}].")
    return value


def _only(table: Mapping[str, Any], known: Sequence[str], above: str, fail: Fail) -> None:
    for key in table:
        if key not in known:
            raise fail("unknown key", f"{above}.{key}" if above else key, hint=nearest(key, known))


def _encryption(tree: dict[str, Any], fail: Fail, stores: Collection[str]) -> Encryption:
    """Take what is not the provider's out of `[storage]`, which may then be left with nothing."""
    if not isinstance(tree.get("storage"), dict):
        return Encryption()
    table = dict(tree["storage"])
    own = {
        field: table.pop(field) for field in Encryption.__struct_fields__ if isinstance(table.get(field), str | list)
    }
    tree["storage"] = table or {"use": "object"}
    if isinstance(own.get("encrypt"), str):
        own["encrypt"] = [own["encrypt"]]
    found = _convert(own, Encryption, "storage", fail)
    for reference in found.encrypt:
        if not is_reference(reference, stores):
            hint = f"Write env:NAME or file:/path, never the key itself.{scheme_hint(reference, stores)}"
            raise fail("a key must be a reference", "storage.encrypt", hint=hint)
    return found


def _capture(tree: dict[str, Any], fail: Fail) -> CaptureConfig:
    found = _convert(_table(tree, "capture", fail), CaptureConfig, "capture", fail)
    for field in CaptureConfig.__struct_fields__:
        try:
            duration(getattr(found, field))
        except UsageError as error:
            raise fail(error.message, f"capture.{field}", hint=error.hint) from None
    return found


def _audit(tree: dict[str, Any], fail: Fail, root: Path) -> AuditConfig:
    found = _convert(_table(tree, "audit", fail), AuditConfig, "audit", fail)
    if found.checkpoint and (root / found.checkpoint).resolve().is_relative_to((root / STATE).resolve()):
        message = "checkpoints beside the ledger prove nothing: who can change the one can change the other"
        raise fail(message, "audit.checkpoint", hint='Name a file in another place, or write checkpoint = "git".')
    return found


def _check_key(fields: dict[str, Any], fail: Fail, stores: Collection[str]) -> None:
    key = fields["privacy"].key
    hint = 'Make one with `openssl rand -hex 32`, and refer to it: [privacy] key = "env:NAME".'
    if key and not is_reference(key, stores):
        raise fail("a key must be a reference", "privacy.key", hint=hint + scheme_hint(key, stores))
    for name, data in fields["data"].items():
        if not key and "hash" in data.pii.values():
            raise fail("the key to hash personal columns is missing", f"data.{name}.pii", hint=hint)


def _step(name: str, table: dict[str, Any], fail: Fail) -> StepConfig:
    key = f"steps.{name}"
    try:
        check_name(name, "step name")
    except UsageError as error:
        raise fail(error.message, key, hint=error.hint) from None
    own = {field: value for field, value in table.items() if field in _STEP}
    extra = {field: value for field, value in table.items() if field not in _STEP}
    if own.get("python") and own.get("use"):
        raise fail("has both `use` and `python`", key, hint="Keep `use` for a step, `python` for a function.")
    if own.get("python"):
        _only(extra, _STEP, key, fail)
    else:
        own.setdefault("use", name)
        own["params"] = {
            **extra,
            **own.get("params", {}),
            **extra,
        }  # what stands beside `params` is complained of first
    return _convert(own, StepConfig, key, fail)


def _convert(value: Any, kind: type[T], key: str, fail: Fail) -> T:
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, ConfigError) as error:
        raise validation_error(error, kind, key, fail) from None
