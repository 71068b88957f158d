"""The metrics of a project: those of every installed plugin, each answer checked with blame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from mlopsfw.kernel.base.errors import PluginError
from mlopsfw.kernel.plugins.blame import blaming
from mlopsfw.kernel.roles.metric import Metric
from mlopsfw.models.metrics import OWN, MetricSet, checked

if TYPE_CHECKING:
    import numpy as np

    from mlopsfw.kernel.plugins.catalog import Claim
    from mlopsfw.project.wiring import Wiring


def installed_metrics(parts: Wiring) -> MetricSet:
    """Return the metrics of the installed plugins, mlopsfw's first. A disabled one is not among them.

    Raises:
        ConfigError: The options of one are wrong.
        PluginError: Two plugins offer one name, or a plugin is at fault.
    """
    found = dict.fromkeys(claim.name for claim in parts.plugins.catalog.of("metric"))
    names = [*(name for name in OWN if name in found), *(name for name in found if name not in OWN)]
    return MetricSet({name: _built(parts, name) for name in names})


def _built(parts: Wiring, name: str) -> Metric:
    selection = parts.config.by_name("metric", name)
    claim, metric = parts.plugins.built("metric", selection, parts.config, parts.host(f"metric.{name}"))
    with blaming(claim, "build"):
        if not isinstance(metric, Metric):
            raise PluginError(
                f"it returned a {type(metric).__name__} instead of a Metric", hint="Return mlopsfw.roles.Metric(…)."
            )
    return replace(metric, compute=_guarded(metric, claim))


def _guarded(metric: Metric, claim: Claim) -> Callable[..., float | None]:
    """Return the function behind the border: its arrays are read-only, and its answer is a number or None."""

    def compute(labels: np.ndarray, outputs: Mapping[str, np.ndarray], weight: np.ndarray | None) -> float | None:
        columns = {name: _read_only(column) for name, column in outputs.items()}
        with blaming(claim, "Metric.compute"):
            return checked(metric.compute(_read_only(labels), columns, None if weight is None else _read_only(weight)))

    return compute


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view
