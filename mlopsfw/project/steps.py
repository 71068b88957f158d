"""The built-in steps, each made with the parts of the project that it names, when a pipeline first selects it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from mlopsfw.kernel.base.errors import UnknownName
from mlopsfw.kernel.base.ids import nearest

if TYPE_CHECKING:
    from mlopsfw.pipeline.graph.step import BuiltinStep
    from mlopsfw.project.wiring import Wiring


class BuiltinSteps:
    """What `use = "name"` can select. Finding a step imports its module and no other.

    Args:
        project: Its parts are what the steps are made with.
    """

    def __init__(self, project: Wiring) -> None:
        self._project = project
        self._made: dict[str, BuiltinStep] = {}
        self._makers: dict[str, Callable[[], BuiltinStep]] = {
            "ingest": self._ingest,
            "check": self._check,
            "sql": self._sql,
            "join": self._join,
            "leakage": self._leakage,
            "features": self._features,
            "split": self._split,
            "train": self._train,
            "evaluate": self._evaluate,
            "gate": self._gate,
            "register": self._register,
            "deploy": self._deploy,
            "monitor": self._monitor,
            "alert": self._alert,
        }

    def names(self) -> Collection[str]:
        """Return the names of the steps."""
        return self._makers.keys()

    def find(self, name: str) -> BuiltinStep:
        """Return the step called `name`; raise `UnknownName` with the nearest one."""
        if name not in self._makers:
            raise UnknownName(f"there is no built-in step {name!r}", hint=nearest(name, self._makers))
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def _ingest(self) -> BuiltinStep:
        from mlopsfw.steps import ingest

        return ingest.step(self._project.root, self._project.datasets.contract_file)

    def _check(self) -> BuiltinStep:
        from mlopsfw.steps import check

        return check.step(self._project.contract_checks, self._project.root, self._project.config)

    def _sql(self) -> BuiltinStep:
        from mlopsfw.steps import sql

        return sql.step()

    def _join(self) -> BuiltinStep:
        from mlopsfw.steps import join

        return join.step()

    def _leakage(self) -> BuiltinStep:
        from mlopsfw.steps import leakage

        return leakage.step()

    def _features(self) -> BuiltinStep:
        from mlopsfw.steps import features

        return features.step()

    def _split(self) -> BuiltinStep:
        from mlopsfw.steps import split

        return split.step()

    def _train(self) -> BuiltinStep:
        from mlopsfw.steps import train
        from mlopsfw.steps.origins import ColumnOrigins

        project = self._project
        origins = ColumnOrigins(lambda: project.pipeline.graph, project.runs)
        return train.step(lambda: project.providers.trainer, project.bundles, project.privacy, origins)

    def _evaluate(self) -> BuiltinStep:
        from mlopsfw.steps import evaluate

        return evaluate.step(self._project.registry, self._project.bundles)

    def _gate(self) -> BuiltinStep:
        from mlopsfw.steps import gate

        return gate.step(self._project.registry)

    def _register(self) -> BuiltinStep:
        from mlopsfw.steps import register

        return register.step(self._project.bundles, self._project.runs.datasets_of)

    def _deploy(self) -> BuiltinStep:
        from mlopsfw.steps import deploy

        return deploy.step(self._project.endpoints)

    def _monitor(self) -> BuiltinStep:
        from mlopsfw.steps import monitor

        return monitor.step(self._project.monitoring.examine, self._project.alerts)

    def _alert(self) -> BuiltinStep:
        from mlopsfw.steps import alert

        return alert.step(self._project.alerts)
