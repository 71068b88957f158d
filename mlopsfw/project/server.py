"""What a deployer's processes call: open the model that an endpoint serves, and move its capture log into the tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlopsfw.kernel.config import ProjectConfig
from mlopsfw.kernel.roles.deployer import EndpointSpec
from mlopsfw.serving.scorer import Scorer

if TYPE_CHECKING:
    from mlopsfw.project.facade import Project


def open_scorer(spec: EndpointSpec, bundle: Path, root: Path, config: str) -> Scorer:
    """Open the model of an endpoint in this process.

    Args:
        spec: What to serve.
        bundle: Where the deployer laid the bundle out.
        root: The project's folder, `host.root`.
        config: The project's configuration, `host.config`.

    Raises:
        BundleError: The bundle is not whole, or the model does not answer as it did when it was made.
        UnknownFormat: No runtime loads it.
    """
    project = _open(root, config)
    loaded = project.bundles.open(bundle, f"{spec.model}@{spec.version}")
    return Scorer(loaded, project.recorder(spec, loaded.manifest))


def compact_log(endpoint: str, root: Path, config: str) -> int:
    """Move what an endpoint's servers wrote since the last time into its tables; return how many predictions that were.

    It loads Polars, so that a process of its own keeps the server small. Readers do the same when they need the newest rows.

    Args:
        endpoint: Its name.
        root: The project's folder, `host.root`.
        config: The project's configuration, `host.config`.
    """
    with _open(root, config) as project:
        return project.captures.compact(endpoint)


def _open(root: Path, config: str) -> Project:
    from mlopsfw.project.facade import Project

    return Project.open(root, config=ProjectConfig.from_json(config))
