"""Put together what needs versions of datasets: each room answers for itself, in this order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from mlopsfw.data.datasets.needs import Needs, joined, of_bad_rows, of_tags
from mlopsfw.lineage import origins, used_by
from mlopsfw.models.registry.version_needs import ModelNeeds
from mlopsfw.pipeline.run.version_needs import RunNeeds, StepNeeds

if TYPE_CHECKING:
    from mlopsfw.data.datasets.versions import History
    from mlopsfw.project.wiring import Wiring


def version_needs(project: Wiring) -> Callable[[History], Needs]:
    """Return what tells why versions of a dataset are needed."""
    return joined(
        (
            of_tags,
            ModelNeeds(project.registry, partial(origins, project)).of,  # type: ignore[arg-type]
            RunNeeds(project.runs, partial(used_by, project)).of,  # type: ignore[arg-type]
            StepNeeds(project.config.steps).of,
            partial(of_bad_rows, project.datasets),
        )
    )
