"""What `use = "name"` can select, and the parts of the project that a step gets: those that it names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.base.errors import ConfigError, DataError, PluginError, UnknownName
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.config.model import ProjectConfig, Selection, StepConfig
from mlopsfw.kernel.plugins.blame import blaming
from mlopsfw.kernel.roles.step import Step
from mlopsfw.project.pipeline import children

if TYPE_CHECKING:
    import msgspec

    from mlopsfw.kernel.plugins.catalog import Claim
    from mlopsfw.project.wiring import Wiring

_REQUIRED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class InstalledSteps:
    """The steps of the installed plugins. A step that no pipeline selects is not imported.

    Args:
        project: Its parts are what steps get.
    """

    def __init__(self, project: Wiring) -> None:
        self._project, self._parts = project, StepParts(project)

    def select(self, config: ProjectConfig, name: str) -> tuple[Step, msgspec.Struct]:
        """Return what the configured step `name` uses, and its options.

        Raises:
            ConfigError: No installed step is called so, or its options are wrong; with the line in the file.
            PluginError: Its plugin is at fault.
        """
        step, key = config.steps[name], f"steps.{name}"
        plugins, own = self._project.plugins, StepConfig.__struct_fields__
        try:
            plugins.catalog.find("step", step.use)
        except UnknownName as error:
            hint = f'{error.hint} Or write python = "module:function".'
            raise config.error(error.message, f"{key}.use", hint=hint) from None
        selection = Selection(use=step.use, options=step.params, key=key, options_key=key, besides=own)
        claim, provider, options = plugins.selected("step", selection, config)
        with blaming(claim, "build"):
            built = provider.build(options, self._project.host(claim.key))
            if not isinstance(built, Step):
                raise PluginError(f"build returned a {type(built).__name__}", hint="Return a mlopsfw.roles.Step.")
            return self._guarded(built, claim, config, key), options

    def _guarded(self, step: Step, claim: Claim, config: ProjectConfig, key: str) -> Step:
        """Return the step behind the border, with what gives it the parts that it names."""
        for_run, for_facts = self._parts.named(step.run, given=1), self._parts.named(step.facts)
        for_check = self._parts.named(step.check)

        def run(context: Any) -> Mapping[str, object]:
            parts = self._parts.get(for_run)
            with blaming(claim, "Step.run"):
                return _checked(step.run(context, **parts), step, claim)

        def facts() -> Mapping[str, object]:
            parts = self._parts.get(for_facts)
            with blaming(claim, "Step.facts"):
                return step.facts(**parts)

        def check() -> None:
            parts = self._parts.get(for_check)
            try:
                with blaming(claim, "Step.check"):
                    step.check(**parts)
            except ConfigError as error:
                own = ".".join(filter(None, (key, error.key)))
                raise (error if error.line else config.error(error.problem, own, hint=error.hint)) from None

        return replace(step, run=run, facts=facts, check=check)


def _checked(values: object, step: Step, claim: Claim) -> Mapping[str, object]:
    if not isinstance(values, Mapping) or values.keys() != set(step.outputs):
        what = sorted(map(str, values)) if isinstance(values, Mapping) else f"a {type(values).__name__}"
        raise DataError(
            f"{claim.key} returned {what}, not {sorted(step.outputs)}",
            hint="Step.run returns a dict with exactly the names in Step.outputs.",
        )
    return values


class StepParts:
    """The parts of a project that a step can name, each made when a step that names it runs.

    Args:
        project: Has them.
    """

    def __init__(self, project: Wiring) -> None:
        self._makers: dict[str, Callable[[], object]] = {
            "alerts": lambda: project.alerts,
            "bundles": lambda: project.bundles,
            "children": lambda: children(project),
            "contracts": lambda: project.contract_checks,
            "datasets": lambda: project.datasets,
            "endpoints": lambda: project.endpoints,
            "metrics": lambda: project.metrics,
            "models": lambda: project.registry,
            "monitoring": lambda: project.monitoring,
            "objectives": lambda: project.objectives,
            "origins": lambda: _origins(project),
            "privacy": lambda: project.privacy,
            "runs": lambda: project.runs,
            "trainer_options": lambda: project.providers.trainer_options,
            "trainers": lambda: project.providers.trainer,
        }

    def named(self, function: Callable[..., object], *, given: int = 0) -> tuple[str, ...]:
        """Return the names of the parts that `function` takes, after `given` other arguments.

        A parameter with a default is the function's own. Raise `PluginError` where there is no such part.
        """
        parameters = list(inspect.signature(function).parameters.values())[given:]
        names = [p.name for p in parameters if p.kind in _REQUIRED and p.default is p.empty]
        for name in names:
            if name not in self._makers:
                hint = nearest(name, self._makers)
                raise PluginError(f"the step names a part of the project that it cannot have: {name!r}", hint=hint)
        return tuple(names)

    def get(self, names: Iterable[str]) -> dict[str, object]:
        """Return the parts by name."""
        return {name: self._makers[name]() for name in names}


def _origins(project: Wiring) -> object:
    from mlopsfw.steps.origins import ColumnOrigins

    return ColumnOrigins(lambda: project.pipeline.graph, project.runs)
