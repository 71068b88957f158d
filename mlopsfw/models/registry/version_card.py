"""The card of a model version: what it is for, what it does, its origin, its quality, its concerns, and who approved it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import BundleError, DataError, NotFound, UnknownName
from mlopsfw.lineage import provenance
from mlopsfw.models.bundle.card import type_text
from mlopsfw.models.registry.card_concerns import (
    CONCERNS,
    concern_sections,
    interval_text,
    segment_tables,
    with_intervals,
)
from mlopsfw.models.registry.card_layout import Card, Paragraph, Section, Table
from mlopsfw.models.registry.versions import ModelVersion
from mlopsfw.pages.values import number_text

if TYPE_CHECKING:
    from mlopsfw.data.datasets import Datasets
    from mlopsfw.kernel.config.model import Definition
    from mlopsfw.kernel.roles.bundle import Manifest
    from mlopsfw.kernel.store.blobs import BlobStore
    from mlopsfw.models.objectives import Objectives, Standing

_ELSEWHERE = ("bundle", "against_baseline", "segments")  # shown by other parts of the card
_MET = {True: "met", False: "missed", None: "not measured"}


def version_card(
    version: ModelVersion, blobs: BlobStore, datasets: Datasets, definition: Definition, objectives: Objectives
) -> Card:
    """Return the card: `markdown` and `render` of `page` show it."""
    manifest = manifest_of(blobs, version)
    standings = objectives.standings(version.name, version.metrics)
    measured = with_intervals(version.metrics)
    quality = {name: value for name, value in measured.items() if name not in (*CONCERNS, *_ELSEWHERE)}
    sections = (
        Section("", (Table.of(_identity(version)),)),
        Section("What it is for", tuple(_defined(definition))),
        Section("What it does", tuple(_purpose(manifest))),
        *_training(manifest),
        Section("Where it came from", (Table.of(_origin(version, blobs, datasets)),)),
        Section("How well it does", (*_standing(version), *_values(quality), *segment_tables(version.metrics))),
        *concern_sections(version.metrics, manifest.facts if manifest else {}),
        *_reached(standings),
        Section("Who approved it", _approvals(version)),
    )
    return Card(f"{version.name}, version {version.version}", sections)


def said_of(definition: Definition) -> dict[str, str]:
    """Return what the project's file says of its models, by key; an empty text where it says nothing."""
    return {
        "purpose": definition.purpose,
        "owner": definition.owner,
        "stakeholders": ", ".join(definition.stakeholders),
        "out_of_scope": "; ".join(definition.out_of_scope),
    }


def _defined(definition: Definition) -> Iterator[Paragraph | Table]:
    """Say what the project is for, as its file does today, and ask by name for what it leaves out."""
    said = said_of(definition)
    yield Table.of((name.replace("_", " ").capitalize(), text) for name, text in said.items())
    if missing := [name for name, text in said.items() if not text]:
        words = ", ".join(missing).replace("_", " ")
        yield Paragraph(f"[project] does not say: {words}. Write {' and '.join(missing)} into mlopsfw.toml.")


def _reached(standings: Iterable[Standing]) -> Iterator[Section]:
    rows = [
        (f"{each.objective.metric} {each.objective.target}", f"{_MET[each.met]}{_limit(each)} ({each.words})")
        for each in standings
    ]
    if rows:
        yield Section("What it must reach", (Table.of(rows),))


def _limit(standing: Standing) -> str:
    return f", {'since' if standing.due else 'due'} {standing.objective.by}" if standing.objective.by else ""


def _standing(version: ModelVersion) -> Iterator[Paragraph]:
    """Compare the model with the baselines, if an evaluation did."""
    comparison = version.metrics.get("against_baseline", {})
    if isinstance(comparison, Mapping) and "says" in comparison:
        sentence = str(comparison["says"])
        yield Paragraph(f"{sentence[:1].upper()}{sentence[1:]}.", strong=comparison.get("verdict") == "worse")


def _values(quality: Mapping[str, Any]) -> Iterator[Paragraph | Table]:
    table = Table.of(flat(quality))
    yield table if table.rows else Paragraph("It was registered without metrics.")


def _approvals(version: ModelVersion) -> tuple[Paragraph | Table, ...]:
    table = Table.of((a.actor, f"{a.time} {a.comment}".strip()) for a in version.approvals)
    return (table if table.rows else Paragraph("Nobody yet."),)


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
    installed = installed_with(blobs, version)
    yield "Python", installed.get("python", "")
    yield "Platform", installed.get("platform", "")
    yield "Packages", f"{len(installed)} (blob {version.environment})" if installed else ""


def installed_with(blobs: BlobStore, version: ModelVersion) -> dict[str, str]:
    """Return what was installed where the version was made: distribution → version, with `python` and `platform`."""
    return provenance.installed(blobs, provenance.Provenance(code=version.code, environment=version.environment))


def _dataset(datasets: Datasets, ref: str) -> str:
    try:
        data = datasets.resolve(ref)
    except UnknownName:
        return ref
    return f"{ref}: {data.rows:,} rows, digest {data.digest}"


def _purpose(manifest: Manifest | None) -> Iterator[Paragraph | Table]:
    if manifest is None:
        yield Paragraph("This version of mlopsfw cannot read the manifest of its bundle.")
        return
    task = {
        "Task": manifest.task,
        "Predicts": manifest.target,
        "Outputs": ", ".join(each.name for each in manifest.outputs),
        "Calibration": manifest.facts.get("calibration", ""),
    }
    yield Table.of([*task.items(), ("Formats", ", ".join(manifest.formats))])
    yield Paragraph("Inputs:")
    yield Table.of(
        (column.name, f"{type_text(column)}{', may be null' if column.nullable else ''}") for column in manifest.inputs
    )


def _training(manifest: Manifest | None) -> Iterator[Section]:
    """Say which trainer learned the model, from how many rows, by which options, and what a search chose them from."""
    facts, settings = training_of(manifest)
    options = Table.of(flat(settings), "option", "value")
    table = Table.of(flat(facts))
    if table.rows:
        yield Section("How it was trained", (table, options) if options.rows else (table,))


def training_of(manifest: Manifest | None) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Return the facts of a training, the trainer first and its search last, and the trainer's options."""
    facts = dict(manifest.facts) if manifest else {}
    options, search = facts.pop("settings", {}), facts.pop("search", "")
    plain = {name: value for name, value in facts.items() if name != "calibration" and not isinstance(value, Mapping)}
    return {"trainer": "", **plain, "search": search}, options


def manifest_of(blobs: BlobStore, version: ModelVersion) -> Manifest | None:
    """Return the manifest of the version's bundle; None where this mlopsfw cannot read it."""
    from mlopsfw.models.bundle.stored import stored_manifest

    try:
        return stored_manifest(blobs, version.bundle)
    except (msgspec.DecodeError, KeyError, NotFound, DataError, BundleError):
        return None


def flat(tree: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of nested metrics by its path, fractions to six digits, or to three with their intervals."""
    if text := interval_text(tree):
        yield above, text
    elif isinstance(tree, Mapping):
        for name, value in tree.items():
            yield from flat(value, f"{above}.{name}" if above else str(name))
    else:
        yield above, number_text(tree, 6) if isinstance(tree, float) else tree
