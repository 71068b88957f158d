"""The packages of a model: requirements to load it, and a software bill of materials (CycloneDX 1.5) of all that were involved."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TO_LOAD = ("mlopsfw", "msgspec", "numpy", "onnxruntime")
_LONGEST_LICENCE = 100


def requirements(facts: Mapping[str, Any]) -> str:
    """Return the packages that loading the model needs, at the installed versions, and those that trained it as comments."""
    lines = [f"{name}=={version}" for name in _TO_LOAD if (version := _version(name))]
    trained = [
        f"# trained with {name}=={version}"
        for name, version in sorted(_trainer_versions(facts).items())
        if name not in _TO_LOAD
    ]
    return "\n".join([*lines, *trained]) + "\n"


def sbom(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return a CycloneDX document of the packages for loading and training, with all their requirements."""
    distributions = _closure({*_TO_LOAD, *_trainer_versions(facts)})
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "components": [_component(each) for _, each in sorted(distributions.items())],
        "dependencies": [
            {
                "ref": _purl(each),
                "dependsOn": sorted(_purl(distributions[name]) for name in _required(each) if name in distributions),
            }
            for _, each in sorted(distributions.items())
        ],
    }


def _trainer_versions(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the versions of packages that the trainer reported."""
    versions = facts.get("versions", {})
    return {str(name): str(version) for name, version in versions.items()} if isinstance(versions, Mapping) else {}


def _closure(names: Iterable[str]) -> dict[str, metadata.Distribution]:
    distributions: dict[str, metadata.Distribution] = {}
    waiting = sorted(map(_normal, names))
    while waiting:
        name = waiting.pop()
        if name in distributions:
            continue
        try:
            distributions[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # required on another platform only, or by an extra
        waiting.extend(_required(distributions[name]))
    return distributions


def _required(distribution: metadata.Distribution) -> list[str]:
    """Return the names that a distribution requires, without extras."""
    lines = [line for line in distribution.requires or () if "extra ==" not in line]
    return sorted({_normal(match[0]) for line in lines if (match := _NAME.match(line))})


def _component(distribution: metadata.Distribution) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": _purl(distribution),
        "name": distribution.name,
        "version": distribution.version,
        "purl": _purl(distribution),
    }
    fields: Any = distribution.metadata  # a mapping with get, though its type does not say so
    written = fields.get("License-Expression") or fields.get("License") or ""
    if 0 < len(written) <= _LONGEST_LICENCE and "\n" not in written:
        component["licenses"] = [{"license": {"name": written}}]
    return component


def _purl(distribution: metadata.Distribution) -> str:
    return f"pkg:pypi/{_normal(distribution.name)}@{distribution.version}"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
