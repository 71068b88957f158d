"""How the verbs of `data` take a dataset, and one of its versions, from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlopsfw.data.datasets import DatasetVersion
    from mlopsfw.project.facade import Project


def dataset_name(text: str) -> str:
    """Return the dataset that `flights` or `data:/flights` names. Raise `InvalidReference`."""
    from mlopsfw.kernel.base.references import parse_reference

    return parse_reference(text, "data").name


def dataset_version(project: Project, name: str, version: str) -> DatasetVersion:
    """Return the version of the dataset `name` that `version`, a number or a tag, means. Raise `UnknownName`."""
    return project.datasets.resolve(f"data:/{name}@{version}")
