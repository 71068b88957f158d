"""`models import`: register a model file that was made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlopsfw.cli.output import emit_json, json_option, pass_project

if TYPE_CHECKING:
    from mlopsfw.project.facade import Project


@click.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="The model's name.")
@click.option("--format", "form", default="", help="The format; by default what the file's suffix stands for.")
@click.option(
    "--task", default="", help="binary, multiclass, regression or another word; by default what the file says."
)
@click.option("--target", default="", metavar="COLUMN", help="The label's column.")
@click.option(
    "--class",
    "classes",
    multiple=True,
    metavar="VALUE",
    help="A label value, in the order of the outputs: for a binary model first the negative one. May be repeated.",
)
@click.option(
    "--logits", is_flag=True, help="The file answers with logits: they become probabilities, by a sigmoid or softmax."
)
@click.option(
    "--like",
    default="",
    metavar="data:/NAME",
    help="The rows that it learned from: their columns but the target are its inputs, and monitors compare with them.",
)
@click.option(
    "--signature",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help='Its inputs, and its outputs if need be, as JSON: {"inputs": [{"name": "wind", "type": "number"}]}.',
)
@click.option("-m", "--message", default="", help="Why, for other people.")
@json_option
@pass_project
def import_model(
    project: Project, path: Path, *, name: str, form: str, as_json: bool, message: str, **options: Any
) -> None:
    """Register PATH, a model that was made elsewhere, as the next version of a model.

    PATH is a file of ONNX, skops, LightGBM (text) or XGBoost (JSON, UBJ), an export of torch (.pt2), which is converted to ONNX, or a
    folder that MLflow saved a model in. Nothing is unpickled. The model is loaded and asked for its answers before it is registered.
    """
    from mlopsfw.project.model_import import ModelFacts, import_file

    facts = ModelFacts(
        format=form,
        task=options["task"],
        target=options["target"],
        classes=options["classes"],
        logits=options["logits"],
        like=options["like"],
        signature=options["signature"],
    )
    version = project.people.show(import_file(project, path, name, facts, message))
    if as_json:
        emit_json(version)
    else:
        click.echo(f"{version.ref} ({version.task}){'' if version.new else ' (unchanged)'}, run {version.run}")
