"""Steps as a graph: which step takes which results, checked in full before anything runs. `runner` runs it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from mlopsfw.kernel.base.errors import InvalidReference, UnknownName
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.config import ProjectConfig, StepConfig
from mlopsfw.lineage.references import parse_reference
from mlopsfw.pipeline.graph.partnames import step_of

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.kernel.roles.step import Step


@dataclass(frozen=True, slots=True)
class Output:
    """A value that a step returns."""

    step: str
    name: str


Source = Output | str
"""The source of an input: another step's output, or a reference such as `data:/flights@3`."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """One step, wired.

    Args:
        name: The name.
        config: As configured.
        outputs: The names of its results.
        inputs: Parameter name → the source of its value.
        engine: The name of the engine that makes its attempts.
        plugin: The step that `use` selected; None for a Python step.
        params: The options of the selected step, as its struct; for a Python step the plain table.
        taken: For a part of a step, its inputs, resolved together with those of the step.
        parts: The names of the step's parts, once they are known.
    """

    name: str
    config: StepConfig
    outputs: tuple[str, ...]
    inputs: Mapping[str, Source]
    engine: str
    plugin: Step | None
    params: Any
    taken: Mapping[str, Artifact] | None = None
    parts: tuple[str, ...] | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """The steps, and the parts of this step, that must finish first."""
        taken = [source.step for source in self.inputs.values() if isinstance(source, Output)]
        return tuple(dict.fromkeys((*taken, *self.config.needs, *(self.parts or ()))))

    @property
    def step(self) -> str:
        """The name in the configuration."""
        return step_of(self.name)

    @property
    def in_parts(self) -> bool:
        """Whether the step runs by parts; a part itself does not."""
        return bool(self.config.each) and self.taken is None

    @property
    def cacheable(self) -> bool:
        """Whether the cache may provide its result."""
        return self.config.cache and (self.plugin is None or self.plugin.cacheable)

    @property
    def plain_params(self) -> dict[str, Any]:
        """Its params as JSON values, with defaults where they are known."""
        plain: dict[str, Any] = msgspec.to_builtins(self.params)
        return plain


@dataclass(frozen=True)
class Graph:
    """A checked pipeline.

    Args:
        nodes: Steps by name, each after those that it needs; among equals in the order of the file.
    """

    nodes: Mapping[str, Node] = field(default_factory=dict)

    def up_to(self, names: Iterable[str]) -> Graph:
        """Return the part of the pipeline that leads to `names`. Raise `UnknownName`."""
        wanted: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in self.nodes:
                raise UnknownName(f"the pipeline has no step {name!r}", hint=nearest(name, self.nodes))
            if name not in wanted:
                wanted.add(name)
                waiting.extend(self.nodes[name].needs)
        return Graph({name: node for name, node in self.nodes.items() if name in wanted})


class StepCatalog(Protocol):
    """The steps that `use = "name"` can select."""

    def select(self, config: ProjectConfig, name: str) -> tuple[Step, msgspec.Struct]:
        """Return the step that the configured step `name` uses, and its options. Raise `ConfigError` or `PluginError`."""
        ...


Implementation = tuple["Step | None", Any]
"""The step that `use` selected and its params; None and the plain table for a Python step."""


def build_graph(config: ProjectConfig, catalog: StepCatalog, schemes: Collection[str]) -> Graph:
    """Wire the steps of `config`.

    Args:
        config: The configuration.
        catalog: Holds the steps that `use` can select.
        schemes: Of the references that a step can take, such as `data`.

    Raises:
        ConfigError: An unknown step, engine, parameter, input or output, a missing input, or a cycle; with its line.
    """
    implementations: dict[str, Implementation] = {
        name: catalog.select(config, name) if step.use else (None, step.params) for name, step in config.steps.items()
    }
    outputs = {name: _outputs(name, step, implementations[name][0], config) for name, step in config.steps.items()}
    nodes = {name: _node(name, implementations[name], outputs, config) for name in config.steps}
    for node in nodes.values():
        _check_schemes(node, schemes, config)
    return Graph(_ordered(nodes, config))


def _outputs(name: str, step: StepConfig, plugin: Step | None, config: ProjectConfig) -> tuple[str, ...]:
    if plugin is None:
        return step.outputs or ("result",)
    if step.outputs and step.outputs != plugin.outputs:
        raise config.error(
            f"{step.use!r} returns {list(plugin.outputs)}", f"steps.{name}.outputs", hint="Remove `outputs`."
        )
    return plugin.outputs


def _node(
    name: str, implementation: Implementation, outputs: Mapping[str, tuple[str, ...]], config: ProjectConfig
) -> Node:
    key, step = f"steps.{name}", config.steps[name]
    plugin, params = implementation
    if plugin:
        _check_inputs(plugin, step, key, config)
    elif not all(step.python.partition(":")):
        raise config.error(
            f"{step.python!r} names no function", f"{key}.python", hint='Write python = "module:function".'
        )
    _check_each(plugin, step, key, config)
    for need in step.needs:
        if need not in outputs:
            raise config.error(f"there is no step {need!r}", f"{key}.needs", hint=nearest(need, outputs))
    inputs = {
        parameter: _source(text, f"{key}.inputs.{parameter}", outputs, config)
        for parameter, text in step.inputs.items()
    }
    [(_, engine)] = config.providers(f"engine.{step.engine}", f"{key}.engine")
    return Node(
        name=name,
        config=step,
        outputs=outputs[name],
        inputs=inputs,
        engine=engine.called,
        plugin=plugin,
        params=params,
    )


def _check_inputs(plugin: Step, step: StepConfig, key: str, config: ProjectConfig) -> None:
    known = (*plugin.inputs, *plugin.optional)
    for parameter in step.inputs:
        if parameter not in known and not plugin.variadic:
            raise config.error(
                f"{step.use!r} takes no such input", f"{key}.inputs.{parameter}", hint=nearest(parameter, known)
            )
    for parameter in plugin.inputs:
        if parameter not in step.inputs:
            raise config.error(
                f"the input {parameter!r} of {step.use!r} is missing",
                f"{key}.inputs",
                hint=f'Add {parameter} = "step.output".',
            )


def _check_schemes(node: Node, schemes: Collection[str], config: ProjectConfig) -> None:
    for parameter, source in node.inputs.items():
        if isinstance(source, str) and (scheme := parse_reference(source).scheme) not in schemes:
            forms = ", ".join(f"{name}:/…" for name in sorted(schemes))
            hint = f"{nearest(scheme, schemes)} A step can take {forms}.".strip()
            raise config.error(f"no step can take {source!r}", f"steps.{node.name}.inputs.{parameter}", hint=hint)


def _check_each(plugin: Step | None, step: StepConfig, key: str, config: ProjectConfig) -> None:
    if not step.each:
        return
    if step.each not in step.inputs:
        raise config.error(f"it has no input {step.each!r}", f"{key}.each", hint=nearest(step.each, step.inputs))
    if plugin and plugin.each is not None and step.each not in plugin.each:
        hint = f"It can run on parts of {', '.join(map(repr, plugin.each))}." if plugin.each else "Remove `each`."
        raise config.error(f"{step.use!r} cannot run on parts of {step.each!r}", f"{key}.each", hint=hint)


def _source(text: str, key: str, outputs: Mapping[str, tuple[str, ...]], config: ProjectConfig) -> Source:
    if ":/" in text:
        try:
            return str(parse_reference(text))
        except InvalidReference as error:
            raise config.error(error.message, key, hint=error.hint) from None
    if text in outputs:
        return Output(text, outputs[text][0])
    step, _, output = text.rpartition(".")
    if step not in outputs:
        raise config.error(f"there is no step {step or text!r}", key, hint=nearest(step or text, outputs))
    if output not in outputs[step]:
        raise config.error(f"{step!r} returns no {output!r}", key, hint=nearest(output, outputs[step]))
    return Output(step, output)


def _ordered(nodes: Mapping[str, Node], config: ProjectConfig) -> dict[str, Node]:
    ordered: dict[str, Node] = {}
    waiting = dict(nodes)
    while waiting:
        name = next((n for n, node in waiting.items() if all(need in ordered for need in node.needs)), None)
        if name is None:
            raise _cycle(waiting, config)
        ordered[name] = waiting.pop(name)
    return ordered


def _cycle(waiting: Mapping[str, Node], config: ProjectConfig) -> Exception:
    path = [next(iter(waiting))]
    while (following := next(n for n in waiting[path[-1]].needs if n in waiting)) not in path:
        path.append(following)
    circle = [*path[path.index(following) :], following]
    return config.error(
        f"the steps wait for each other: {' → '.join(reversed(circle))}",
        f"steps.{circle[0]}",
        hint="Remove one of these inputs.",
    )
