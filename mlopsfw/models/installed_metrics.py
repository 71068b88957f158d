"""The metrics of a project: those of every installed plugin, each answer checked with blame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mlopsfw.kernel.base.errors import PluginError
from mlopsfw.kernel.plugins.blame import blaming
from mlopsfw.kernel.roles.metric import Metric
from mlopsfw.models.metrics import OWN, check_value

if TYPE_CHECKING:
    from mlopsfw.kernel.config.model import ProjectConfig
    from mlopsfw.kernel.plugins.catalog import Claim
    from mlopsfw.kernel.plugins.manager import PluginManager
    from mlopsfw.kernel.roles.host import Host


class InstalledMetrics(Mapping[str, Metric]):
    """The metrics of the installed plugins by name, mlopsfw's first. A disabled one is not among them.

    All are built when the first one is asked for. That raises `ConfigError` where the options of one are wrong, and `PluginError` where two
    plugins offer one name or a plugin is at fault.

    Args:
        plugins: The installed plugins.
        config: Has their options, `[metric.NAME]`.
        host: Claim's key → what that metric may use of mlopsfw.
    """

    def __init__(self, plugins: PluginManager, config: ProjectConfig, host: Callable[[str], Host]) -> None:
        self._plugins, self._config, self._host = plugins, config, host

    def __getitem__(self, name: str) -> Metric:
        return self._metrics[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._metrics)

    def __len__(self) -> int:
        return len(self._metrics)

    @cached_property
    def _metrics(self) -> dict[str, Metric]:
        claims = self._plugins.catalog.of("metric")
        found = dict.fromkeys(claim.name for claim in claims if not claim.misnamed)
        names = [*(name for name in OWN if name in found), *(name for name in found if name not in OWN)]
        return {name: self._built(name) for name in names}

    def _built(self, name: str) -> Metric:
        selection = self._config.by_name("metric", name)
        claim, metric = self._plugins.built("metric", selection, self._config, self._host(f"metric.{name}"))
        with blaming(claim, "build"):
            if not isinstance(metric, Metric):
                what = f"it returned a {type(metric).__name__} instead of a Metric"
                raise PluginError(what, hint="Return mlopsfw.roles.Metric(…).")
        return replace(metric, compute=_guarded(metric, claim))


def _guarded(metric: Metric, claim: Claim) -> Callable[..., float | None]:
    """Return the function behind the border: its arrays are read-only, and its answer is a number or None."""

    def compute(labels: np.ndarray, outputs: Mapping[str, np.ndarray], weight: np.ndarray | None) -> float | None:
        columns = {name: _read_only(column) for name, column in outputs.items()}
        with blaming(claim, "Metric.compute"):
            value = metric.compute(_read_only(labels), columns, None if weight is None else _read_only(weight))
            return check_value(metric, value)

    return compute


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view
