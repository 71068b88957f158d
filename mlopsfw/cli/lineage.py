"""`lineage`: what a dataset version, run or model came from, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlopsfw.cli.output import emit_json, json_option, pass_project

if TYPE_CHECKING:
    from mlopsfw.lineage import Edge, Lineage
    from mlopsfw.project import Project


@click.command()
@click.argument("ref")
@json_option
@pass_project
def lineage(project: Project, ref: str, *, as_json: bool) -> None:
    """Walk from REF (models:/…, data:/…, runs:/…) to what it came from and what came of it."""
    from mlopsfw.lineage import walk

    found = walk(project, ref)
    if as_json:
        emit_json(found)
        return
    click.echo(click.style(found.root, bold=True) + _facts(found, found.root))
    _print(found, found.up, upwards=True)
    _print(found, found.down, upwards=False)


def _print(found: Lineage, edges: tuple[Edge, ...], *, upwards: bool) -> None:
    click.echo("came from" if upwards else "led to")
    if not edges:
        click.echo("  nothing that is known")
        return
    _branch(found, edges, found.root, "  ", {found.root}, upwards=upwards)


def _branch(found: Lineage, edges: tuple[Edge, ...], node: str, indent: str, seen: set[str], *, upwards: bool) -> None:
    for edge in edges:
        near, far = (edge.target, edge.source) if upwards else (edge.source, edge.target)
        if near != node:
            continue
        how = f"{edge.source} {edge.how} it" if upwards else f"{edge.how} {edge.target}"
        again = far in seen
        click.echo(f"{indent}{how}{'' if again else _facts(found, far)}")
        if not again:
            seen.add(far)
            _branch(found, edges, far, indent + "  ", seen, upwards=upwards)


def _facts(found: Lineage, node: str) -> str:
    facts = found.nodes.get(node, {})
    words = []
    if "rows" in facts:
        words.append(f"{facts['rows']:,} rows")
    if facts.get("aliases"):
        words.append("@" + ", @".join(facts["aliases"]))
    words += [str(facts[name])[:19] for name in ("status", "started", "time") if facts.get(name)]
    words += [f"commit {facts['commit'][:12]}"] if "commit" in facts else []
    return click.style(f"  ({', '.join(words)})", dim=True) if words else ""
