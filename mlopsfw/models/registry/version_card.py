"""A model version as Markdown: facts, origin, quality and approvals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import BundleError, DataError, NotFound, UnknownName
from mlopsfw.lineage import provenance
from mlopsfw.models.bundle.card import CONTROL, type_text
from mlopsfw.models.registry.versions import ModelVersion

if TYPE_CHECKING:
    from mlopsfw.data.datasets import Datasets
    from mlopsfw.kernel.config.model import Definition
    from mlopsfw.kernel.roles.bundle import Manifest
    from mlopsfw.kernel.store.blobs import BlobStore
    from mlopsfw.models.objectives import Objectives, Standing

_MET = {True: "met", False: "missed", None: "not measured"}
_SPECIAL = re.compile(r"([\\`*_\[\]#!|<>])")


def version_card(
    version: ModelVersion, blobs: BlobStore, datasets: Datasets, definition: Definition, objectives: Objectives
) -> str:
    """Return the card. Escapes names and texts of users, since pages show cards."""
    parts = [
        f"# {_text(version.name)}, version {version.version}",
        _table(_identity(version)),
        *_defined(definition),
        "## What it does",
        *_purpose(_manifest(blobs, version)),
        "## Where it came from",
        _table(_origin(version, blobs, datasets)),
        "## How well it does",
        *_standing(version),
        _table(_flat(version.metrics)) or "It was registered without metrics.",
        *_reached(objectives.standings(version.name, version.metrics)),
        "## Who approved it",
        _table((a.actor, f"{a.time} {a.comment}".strip()) for a in version.approvals) or "Nobody yet.",
    ]
    return "\n\n".join(parts) + "\n"


def _defined(definition: Definition) -> Iterator[str]:
    """Say what the project is for, as its file does today."""
    facts = {
        "Purpose": definition.purpose,
        "Owner": definition.owner,
        "Stakeholders": ", ".join(definition.stakeholders),
        "Out of scope": "; ".join(definition.out_of_scope),
    }
    yield "## What it is for"
    missing = [name for name, text in facts.items() if not text]
    if len(missing) < len(facts):
        yield _table(facts.items())
    if missing:
        yield f"`[project]` does not say: {', '.join(missing).lower()}."


def _reached(standings: Iterable[Standing]) -> Iterator[str]:
    rows = [
        (f"{each.objective.metric} {each.objective.target}", f"{_MET[each.met]}{_limit(each)} ({each.words})")
        for each in standings
    ]
    if rows:
        yield "## What it must reach"
        yield _table(rows)


def _limit(standing: Standing) -> str:
    return f", {'since' if standing.due else 'due'} {standing.objective.by}" if standing.objective.by else ""


def _standing(version: ModelVersion) -> Iterator[str]:
    """Compare the model with the baselines, if an evaluation did."""
    comparison = version.metrics.get("against_baseline", {})
    if isinstance(comparison, Mapping) and "says" in comparison:
        sentence = _text(comparison["says"])
        yield (
            f"**{sentence[:1].upper()}{sentence[1:]}.**"
            if comparison.get("verdict") == "worse"
            else f"{sentence[:1].upper()}{sentence[1:]}."
        )


def _text(value: Any) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(CONTROL.sub(" ", str(value)).split()))


def _table(rows: Iterable[tuple[str, Any]]) -> str:
    listed = [f"| {_text(name)} | {_text(value)} |" for name, value in rows if value not in ("", None)]
    return "\n".join(["| | |", "|---|---|", *listed]) if listed else ""


def _identity(version: ModelVersion) -> Iterator[tuple[str, Any]]:
    yield "Aliases", ", ".join(version.aliases)
    yield "Registered", f"{version.time} by {version.actor}"
    yield "Bundle", version.bundle
    yield "Message", version.message


def _origin(version: ModelVersion, blobs: BlobStore, datasets: Datasets) -> Iterator[tuple[str, Any]]:
    yield "Run", version.run
    for ref in version.datasets:
        yield "Data", _dataset(datasets, ref)
    yield "Code", version.code.get("commit", "")
    yield "Uncommitted changes", version.code.get("diff", "")
    origin = provenance.Provenance(code=version.code, environment=version.environment)
    installed = provenance.installed(blobs, origin)
    yield "Python", installed.get("python", "")
    yield "Platform", installed.get("platform", "")
    yield "Packages", f"{len(installed)} (blob {version.environment})" if installed else ""


def _dataset(datasets: Datasets, ref: str) -> str:
    try:
        data = datasets.resolve(ref)
    except UnknownName:
        return ref
    return f"{ref}: {data.rows:,} rows, digest {data.digest}"


def _purpose(manifest: Manifest | None) -> Iterator[str]:
    if manifest is None:
        yield "This version of mlopsfw cannot read the manifest of its bundle."
        return
    task = {
        "Task": manifest.task,
        "Predicts": manifest.target,
        "Outputs": ", ".join(each.name for each in manifest.outputs),
        "Calibration": manifest.facts.get("calibration", ""),
    }
    yield _table([*task.items(), ("Formats", ", ".join(manifest.formats))])
    yield "Inputs:"
    yield _table(
        (column.name, f"{type_text(column)}{', may be null' if column.nullable else ''}") for column in manifest.inputs
    )


def _manifest(blobs: BlobStore, version: ModelVersion) -> Manifest | None:
    from mlopsfw.models.bundle.stored import stored_manifest

    try:
        return stored_manifest(blobs, version.bundle)
    except (msgspec.DecodeError, KeyError, NotFound, DataError, BundleError):
        return None


def _flat(tree: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            yield from _flat(value, f"{above}.{name}" if above else str(name))
    else:
        yield above, f"{tree:.6g}" if isinstance(tree, float) else tree
