"""`models`: list and show versions, move aliases, approve versions, verify bundles, print cards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlopsfw.cli.model_import import import_model
from mlopsfw.cli.output import emit_json, json_option, pass_project, pass_snapshot, printable, table
from mlopsfw.cli.output_file import OutputFile, write_file
from mlopsfw.lineage.references import parse_reference
from mlopsfw.pages.values import number_text

if TYPE_CHECKING:
    from pathlib import Path

    from mlopsfw.models.registry import AliasMove, ModelVersion
    from mlopsfw.project.facade import Project

_METRICS_SHOWN = 4


@click.group()
def models() -> None:
    """List, show, import, promote, approve, roll back and verify models."""


models.add_command(import_model)


@models.command("list")
@click.argument("name", required=False)
@json_option
@pass_snapshot
def list_models(project: Project, name: str | None, *, as_json: bool) -> None:
    """List the newest version of every model, or all versions of the model NAME."""
    registry = project.registry
    versions = registry.versions(_bare(name)) if name else [version for m in registry.models() for version in _worth(m)]
    versions = project.people.show(versions)
    if as_json:
        emit_json(versions)
        return
    table([_row(version) for version in versions], empty="No models yet.")


def _worth(model: Any) -> list[ModelVersion]:
    """Return the newest version and every version with an alias, newest first."""
    return [v for v in reversed(model.versions) if v.aliases or v is model.versions[-1]]


def _bare(name: str) -> str:
    return parse_reference(name, "models").name


def _row(version: ModelVersion) -> dict[str, Any]:
    numbers = list(_numbers(version).items())[:_METRICS_SHOWN]
    return {
        "model": version.name,
        "version": version.version,
        "aliases": ", ".join(version.aliases),
        "metrics": " ".join(f"{name}={number_text(value)}" for name, value in numbers),
        "run": version.run,
        "data": ", ".join(ref.removeprefix("data:/") for ref in version.datasets),
        "approved": ", ".join(approval.actor for approval in version.approvals),
        "time": version.time[:19],
    }


def _numbers(version: ModelVersion) -> dict[str, float]:
    found = version.metrics.items()
    return {name: value for name, value in found if isinstance(value, int | float) and not isinstance(value, bool)}


@models.command()
@click.argument("ref", metavar="NAME[@ALIAS|@VERSION]")
@json_option
@pass_project
def show(project: Project, ref: str, *, as_json: bool) -> None:
    """Show the metrics, the origin and the aliases of a version."""
    version = project.registry.resolve(ref)
    moves = [move for move in project.registry.model(version.name).moves if version.version in (move.version, move.was)]
    version, moves = project.people.show((version, moves))
    if as_json:
        emit_json({"version": version, "moves": moves})
        return
    click.echo(
        f"{version.ref}{f' ({version.task})' if version.task else ''}, registered {version.time[:19]} by {version.actor}"
    )
    for name, value in _facts(version):
        click.echo(f"  {name:<12}{printable(value)}")
    if version.metrics:
        click.echo()
        _metrics_table(version)
    if moves:
        click.echo()
        table([_move_row(move) for move in moves])


def _metrics_table(version: ModelVersion) -> None:
    """Print the metrics. Concerns have tables of their own, on the card."""
    from mlopsfw.models.registry.card_concerns import CONCERNS
    from mlopsfw.pipeline.run.parameters import flat

    measured = [name for name in CONCERNS if version.metrics.get(name)]
    shown = {name: value for name, value in version.metrics.items() if name not in measured}
    table([{"metric": name, "value": value} for name, value in flat(shown).items()])
    if measured:
        click.echo(f"\n`mlopsfw models card {version.name}@{version.version}` shows {', '.join(measured)}.")


def _facts(version: ModelVersion) -> list[tuple[str, str]]:
    commit = version.code.get("commit", "")
    state = f"{commit}{' with uncommitted changes' if version.code.get('diff') else ''}"
    approved = "; ".join(f"{a.actor} {a.time[:19]} {a.comment}".rstrip() for a in version.approvals)
    found = {
        "aliases": ", ".join(version.aliases),
        "bundle": version.bundle,
        "run": version.run,
        "data": ", ".join(version.datasets),
        "code": state,
        "environment": version.environment,
        "approved": approved,
        "message": version.message,
        "note": _lost(version),
    }
    return [(name, value) for name, value in found.items() if value]


def _lost(version: ModelVersion) -> str:
    """Return the sentence that the model is worse than a baseline, or nothing."""
    found = version.metrics.get("against_baseline") or {}
    return str(found.get("says", "")) if found.get("verdict") == "worse" else ""


def _move_row(move: AliasMove) -> dict[str, Any]:
    return {
        "alias": move.alias,
        "to": move.version,
        "from": move.was or None,
        "how": move.how,
        "time": move.time[:19],
        "by": move.actor,
        "reason": move.reason,
    }


@models.command()
@click.argument("name")
@click.argument("version", type=int)
@click.option("--alias", default="champion", show_default=True, help="The alias to move.")
@click.option("--expecting", type=int, help="Move the alias only if it points at this version now (0: at no version).")
@click.option("--reason", default="", help="A reason, for other people.")
@json_option
@pass_project
def promote(
    project: Project, name: str, version: int, *, alias: str, expecting: int | None, reason: str, as_json: bool
) -> None:
    """Move an alias of the model NAME to VERSION."""
    pointed = project.registry.model(_bare(name)).aliases().get(alias)
    move = project.registry.promote(_bare(name), version, alias, expecting=expecting, reason=reason)
    if pointed == version and not as_json:
        click.echo(f"{_bare(name)}@{alias} points at version {version} already")
    else:
        _tell(_bare(name), project.people.show(move), as_json=as_json)


@models.command()
@click.argument("name")
@click.option("--alias", default="champion", show_default=True, help="The alias to move.")
@click.option("--reason", default="", help="A reason, for other people.")
@json_option
@pass_project
def rollback(project: Project, name: str, *, alias: str, reason: str, as_json: bool) -> None:
    """Move an alias of the model NAME back to its previous version."""
    move = project.registry.rollback(_bare(name), alias, reason=reason)
    _tell(_bare(name), project.people.show(move), as_json=as_json)


def _tell(name: str, move: AliasMove, *, as_json: bool) -> None:
    if as_json:
        emit_json(move)
        return
    was = f"version {move.was}" if move.was else "nowhere"
    click.echo(f"{name}@{move.alias} points at version {move.version} (was {was})")


@models.command()
@click.argument("name")
@click.argument("version", type=int)
@click.option("-m", "--comment", default="", help="What you have reviewed, for other people.")
@json_option
@pass_project
def approve(project: Project, name: str, version: int, *, comment: str, as_json: bool) -> None:
    """Record that you approve VERSION of the model NAME."""
    approved = project.people.show(project.registry.approve(_bare(name), version, comment))
    if as_json:
        emit_json(approved)
    else:
        click.echo(f"{approved.ref} approved by {approved.approvals[-1].actor}")


@models.command()
@click.argument("ref", metavar="NAME[@ALIAS|@VERSION]")
@json_option
@pass_project
def verify(project: Project, ref: str, *, as_json: bool) -> None:
    """Read the bundle of a version and check every file in it."""
    from mlopsfw.operations.scratch import scratch_folder

    with scratch_folder(project.workspace) as folder:
        version = project.registry.verify(ref, folder)
    if as_json:
        emit_json({"ref": version.ref, "bundle": version.bundle, "ok": True})
    else:
        click.echo(f"{version.ref}: bundle {version.bundle[:12]} is intact")


@models.command()
@click.argument("ref", metavar="NAME[@ALIAS|@VERSION]")
@click.option("--out", type=OutputFile(), help="Write the card to this file.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["md", "html", "cyclonedx"]),
    default="md",
    help="Markdown, one HTML page, or a CycloneDX 1.7 ML-BOM in JSON.",
)
@pass_project
def card(project: Project, ref: str, *, out: Path | None, form: str) -> None:
    """Print the model card of a version."""
    from mlopsfw.models.registry.card_layout import markdown
    from mlopsfw.models.registry.ml_bom import Described, ml_bom
    from mlopsfw.models.registry.page import render
    from mlopsfw.models.registry.version_card import installed_with, manifest_of, version_card

    version, definition = project.people.show(project.registry.resolve(ref)), project.config.definition
    if form == "cyclonedx":
        blobs = project.blobs
        text = ml_bom(Described(version, manifest_of(blobs, version), definition, installed_with(blobs, version)))
    else:
        made = version_card(version, project.blobs, project.datasets, definition, project.objectives)
        text = markdown(made) if form == "md" else render(made)
    if out is None:
        click.echo(text, nl=False)
    else:
        write_file(out, text)
