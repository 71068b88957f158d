"""Read the name of a dataset, and a version of it, from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlopsfw.data.datasets import DatasetVersion
    from mlopsfw.project.facade import Project


def dataset_name(text: str) -> str:
    """Return the name in `flights` or `data:/flights`. Raise `InvalidReference` for anything else."""
    from mlopsfw.lineage.references import parse_reference

    return parse_reference(text, "data").name


def dataset_version(project: Project, name: str, version: str) -> DatasetVersion:
    """Return the version of dataset `name` with this number or tag. Raise `UnknownName` if there is none."""
    return project.datasets.resolve(f"data:/{name}@{version}")
