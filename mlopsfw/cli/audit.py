"""`audit`: verify and show the ledger, and keep the directory of who acts in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from mlopsfw.cli.output import emit_json, json_option, pass_project, table
from mlopsfw.cli.output_file import OutputFile
from mlopsfw.kernel.base.errors import ChainBroken, UnknownName, UsageError
from mlopsfw.kernel.base.ids import nearest

if TYPE_CHECKING:
    from mlopsfw.governance.people import Person
    from mlopsfw.project.facade import Project


@click.group()
def audit() -> None:
    """Verify and show the ledger; list, rename and forget actors."""


@audit.command()
@click.argument("prefix", default="")
@click.option(
    "--checkpoint",
    "kept",
    type=click.Path(path_type=Path),
    help="A file that `audit checkpoint` wrote: also verify that the ledger extends its last checkpoint.",
)
@json_option
@pass_project
def verify(project: Project, prefix: str, *, kept: Path | None, as_json: bool) -> None:
    """Hash every event again, in all streams or in those whose names start with PREFIX.

    Without a checkpoint this proves what is there. Events that somebody removed from the end of a stream leave no trace in the store.
    """
    from mlopsfw.operations.audit import audit as audited
    from mlopsfw.operations.checkpoint import read

    checkpoint = read(kept, project.config.name) if kept else None
    streams = list(audited(project.storage, prefix, project.ledger.types, checkpoint))
    problems = [problem for stream in streams for problem in stream.problems]
    if as_json:
        emit_json(streams)
    else:
        for problem in problems:
            click.echo(problem)
        events = sum(stream.entries for stream in streams)
        counted = f"{events} events in {len(streams)} streams, {len(problems)} problems"
        if checkpoint:
            click.echo(f"{counted}, compared with the checkpoint of {checkpoint.time} ({checkpoint.events} events).")
        else:
            click.echo(f"{counted} in what is here. A cut tail cannot be excluded without a checkpoint.")
    if problems:
        raise ChainBroken(f"the ledger has {len(problems)} problems", hint="Restore the named objects from a copy.")


@audit.command("checkpoint")
@click.argument("file", type=OutputFile(makes_folders=True), required=False)
@click.option("--git", is_flag=True, help="Keep it as a git note of the current commit, under refs/notes/mlopsfw.")
@click.option(
    "--every",
    type=click.IntRange(1),
    metavar="N",
    help="Do nothing while fewer than N events are newer than FILE's last checkpoint.",
)
@json_option
@pass_project
def take_checkpoint(project: Project, file: Path | None, *, git: bool, every: int | None, as_json: bool) -> None:
    """Append the newest event's hash of every stream to FILE, by default where `[audit] checkpoint` says.

    Keep FILE where nobody who can write the store can change it: another bucket, a CI artefact. `audit verify --checkpoint FILE` then finds
    events that were cut from the end or rewritten since. A git note goes elsewhere with `git push origin refs/notes/mlopsfw`.
    """
    from mlopsfw.operations.checkpointing import configured, take

    file, git = (file, git) if file or git else configured(project.root, project.config.audit)
    if not (file or git):
        raise UsageError("there is no place for the checkpoint", hint="Name a FILE, or pass --git.")
    if every and not file:
        raise UsageError("--every needs FILE, which has the last checkpoint")
    taken, new, kept, commit = take(project.services, file, git=git, every=every or 0)
    if as_json:
        emit_json({"taken": kept, "events": taken.events, "streams": len(taken.heads), "commit": commit})
        return
    places = " and ".join(filter(None, (str(file or ""), f"a note of {commit[:12]}" if commit else "")))
    said = f"in {places}" if kept else f"none taken: {new} are new"
    click.echo(f"{taken.events} events in {len(taken.heads)} streams, {said}.")


@audit.command()
@click.argument("stream")
@click.option("--after", type=int, default=0, help="Show only events after this number.")
@json_option
@pass_project
def show(project: Project, stream: str, *, after: int, as_json: bool) -> None:
    """Verify and show the events of STREAM, such as model/delay."""
    events = [event for event in project.ledger.stream(stream).events() if event.seq > after]
    if not events and project.ledger.stream(stream).head() == 0:
        raise UnknownName(f"there is no stream {stream!r}", hint=nearest(stream, project.ledger.streams()))
    shown = project.people.show(events)
    if as_json:
        ids = [event.actor for event in events]
        emit_json([{**msgspec.to_builtins(e), "actor_id": actor} for e, actor in zip(shown, ids, strict=True)])
        return
    rows = [{"seq": e.seq, "time": e.time, "actor": e.actor, "type": e.type, "body": _line(e.body)} for e in shown]
    table(rows, ["seq", "time", "actor", "type", "body"])


def _line(body: dict[str, Any]) -> str:
    return msgspec.json.encode(body).decode()


@audit.command()
@json_option
@pass_project
def actors(project: Project, *, as_json: bool) -> None:
    """List who acted in this project: the ids in the ledger, with their names."""
    people = project.people.everyone()
    if as_json:
        emit_json(people)
        return
    rows = [
        {"actor": person.actor, "name": person.name, "since": person.created[:19], "state": _state(person)}
        for person in people
    ]
    table(rows, empty="Nobody has acted yet.")


def _state(person: Person) -> str:
    return "forgotten" if person.forgotten else ""


@audit.command()
@click.argument("actor", metavar="ID")
@click.argument("name")
@pass_project
def rename(project: Project, actor: str, name: str) -> None:
    """Show the actor ID as NAME from now on, in old events too. The ledger keeps the id and does not change."""
    project.people.rename(actor, name)
    click.echo(f"{actor} is {name}")


@audit.command()
@click.argument("actor", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@pass_project
def forget(project: Project, actor: str, *, yes: bool) -> None:
    """Erase the name of the actor ID and everything that it wrote: messages, reasons, comments.

    You cannot undo this: the key of those texts is destroyed. Events keep the id, and the ledger stays whole. If the command is
    interrupted, run it again to finish.
    """
    project.actors.require(actor)
    if not yes:
        (name,) = project.actors.names([actor]).values()
        click.confirm(f"Forget {name} for good?", abort=True)
    project.people.forget(actor)
    click.echo(f"{actor} has no name any more, and its texts are erased.")
