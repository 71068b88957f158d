"""`runs get`: print what a step returned or a script logged, or write it to a file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlopsfw.cli.output import emit_json, keep_stdout_for_documents, pass_snapshot
from mlopsfw.cli.output_file import OutputFile, write_file, write_frames
from mlopsfw.kernel.base.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.project.facade import Project


@click.command("get")
@click.argument("reference", metavar="RUN/ARTIFACT")
@click.option("--out", type=OutputFile(), help="Write it to this file, a table as Parquet, CSV or JSON lines.")
@pass_snapshot
def get(project: Project, reference: str, *, out: Path | None) -> None:
    """Print a result of a run, such as runs:/latest/evaluate.metrics.

    The part after the run is STEP.OUTPUT, or STEP for its first output, or the name that a script gave to log_artifact. A JSON value is
    printed as JSON, and a table as JSON lines. A file or folder needs --out.
    """
    artifact = project.runs.artifact(reference)
    if out is None:
        keep_stdout_for_documents()
    if artifact.kind in ("table", "dataset"):
        write_frames(_frames(project, artifact), out)
    elif artifact.kind == "json":
        _json(project.values.load(artifact), out)
    elif artifact.kind == "model":
        raise UsageError(f"{reference} is {artifact.ref}", hint=f"Run: mlopsfw models show {artifact.ref}")
    elif out is None:
        raise UsageError(f"{reference} is a {artifact.kind}, which no terminal can show", hint="Pass --out FILE.")
    elif artifact.kind == "file":
        shutil.copyfile(project.values.load(artifact, Path), out)
    else:
        _lay_out(project, artifact, out)


def _lay_out(project: Project, artifact: Artifact, out: Path) -> None:
    if out.exists():
        raise UsageError(f"{out} exists, and the {artifact.kind} is a folder", hint="Name a new folder.")
    project.blobs.get_folder(artifact.blob, out)


def _frames(project: Project, artifact: Artifact) -> Iterator[pl.DataFrame]:
    import polars as pl

    from mlopsfw.kernel.roles.training import TrainingData

    handle = project.values.load(artifact, TrainingData)
    yield from (pl.DataFrame(batch) for batch in handle.batches())


def _json(value: Any, out: Path | None) -> None:
    import msgspec

    if out is None:
        emit_json(value)
    else:
        write_file(out, msgspec.json.format(msgspec.json.encode(value)).decode() + "\n")
