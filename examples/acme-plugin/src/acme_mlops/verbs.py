"""`mlopsfw acme-build`: a verb that fills the feature store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlopsfw.commands import pass_project

if TYPE_CHECKING:
    from mlopsfw import Project


@click.command("acme-build")
@click.argument("name")
@click.argument("dataset")
@pass_project
def build(project: Project, name: str, dataset: str) -> None:
    """Compute the feature set NAME from the newest version of DATASET."""
    from acme_mlops.features import FeatureStore

    version = project.datasets.resolve(dataset)
    store = FeatureStore(project.host("component.features"))
    rows = project.datasets.scan(version).collect().to_dicts()
    click.echo(store.build(name, f"data:/{dataset}@{version.version}", rows))
