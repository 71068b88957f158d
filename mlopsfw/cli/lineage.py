"""`lineage`: show what a dataset version, run, model or prediction was made from, and what was made from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlopsfw.cli.output import emit_json, json_option, pass_snapshot, printable
from mlopsfw.cli.output_file import OutputFile, write_file

if TYPE_CHECKING:
    from mlopsfw.kernel.component import Edge
    from mlopsfw.lineage.graph import Lineage
    from mlopsfw.project.facade import Project


@click.command()
@click.argument("ref")
@click.option("--html", type=OutputFile(), help="Write a page with the graph to this file.")
@json_option
@pass_snapshot
def lineage(project: Project, ref: str, *, html: Path | None, as_json: bool) -> None:
    """Show what REF was made from, and what was made from it.

    REF is models:/…, data:/…, runs:/…, endpoints:/…, predictions:/ENDPOINT/ID, or a reference of a plugin's component.
    """
    found = project.lineage.walk(ref)
    if html is not None:
        from mlopsfw.lineage.page import render

        write_file(html, render(found, project.lineage.colours()))
    if as_json:
        emit_json(found)
        return
    click.echo(click.style(printable(found.root), bold=True) + _facts(found, found.root))
    _print(found, found.up, upwards=True)
    _print(found, found.down, upwards=False)


def _print(found: Lineage, edges: tuple[Edge, ...], *, upwards: bool) -> None:
    click.echo("came from" if upwards else "led to")
    if not edges:
        click.echo("  nothing")
        return
    near: dict[str, list[Edge]] = {}
    for edge in edges:
        near.setdefault(edge.target if upwards else edge.source, []).append(edge)
    seen, pending = {found.root}, [(edge, 1) for edge in reversed(near[found.root])]
    while pending:  # no recursion: a dataset that grew a thousand times is a thousand levels deep
        edge, depth = pending.pop()
        far = edge.source if upwards else edge.target
        how = f"{edge.source} {edge.how} it" if upwards else f"{edge.how} {edge.target}"
        click.echo(f"{'  ' * depth}{printable(how)}{'' if far in seen else _facts(found, far)}")
        if far not in seen:
            seen.add(far)
            pending += [(further, depth + 1) for further in reversed(near.get(far, ()))]


def _facts(found: Lineage, node: str) -> str:
    facts = found.nodes.get(node, {})
    words = []
    if "rows" in facts:
        words.append(f"{facts['rows']:,} rows")
    if facts.get("aliases"):
        words.append("@" + ", @".join(facts["aliases"]))
    words += [str(facts[name])[:19] for name in ("status", "started", "time") if facts.get(name)]
    words += [f"contract: {facts['contract']}"] if "contract" in facts else []
    words += [f"commit {facts['commit'][:12]}"] if "commit" in facts else []
    return click.style(f"  ({', '.join(words)})", dim=True) if words else ""
