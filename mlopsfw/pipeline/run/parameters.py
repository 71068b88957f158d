"""What a run was configured with, under the names that its file uses: `steps.fit.params.seed`, `trainer.boosted.num_leaves`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_READ = ("lines", "file", "selected", "named", "options")  # how the file was read, not what it says


def written(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of a run with each provider and its options in a table of its name, as in the file."""
    roles = {**config.get("selected", {}), **config.get("named", {})}
    tables = {name: value for name, value in config.items() if name not in _READ}
    return {**tables, **config.get("options", {}), **{role: _providers(config, role) for role in roles}}


def parameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a pipeline's steps, `STEP.NAME`, and the options of its trainers, `trainer.NAME.OPTION`."""
    steps = {step: table.get("params", {}) for step, table in config.get("steps", {}).items()}
    return flat(steps) | flat({"trainer": _providers(config, "trainer")})


def _providers(config: Mapping[str, Any], role: str) -> dict[str, Any]:
    default, named = (config.get(part, {}).get(role, []) for part in ("selected", "named"))
    tables: dict[str, Any] = {
        _called(each): {"use": each["use"], **each["options"], **each.get("settings", {})}
        for each in [*named, *default]
        if each["use"]
    }
    if len(default) == 1 and default[0]["use"]:
        tables["use"] = _called(default[0])
    return tables


def _called(selection: Mapping[str, Any]) -> str:
    return str(selection.get("name") or selection["use"])


def flat(tree: Any, above: str = "") -> dict[str, Any]:
    """Return nested tables as dotted keys."""
    if not isinstance(tree, dict):
        return {above: tree}
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= flat(value, f"{above}.{name}" if above else str(name))
    return found
