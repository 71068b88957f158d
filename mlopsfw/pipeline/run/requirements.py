"""Compare what steps ask for, resources and time limits, with what their engines can ever give, before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopsfw.kernel.roles.engine import Resources

if TYPE_CHECKING:
    from mlopsfw.kernel.config.model import ProjectConfig
    from mlopsfw.pipeline.graph.model import Graph
    from mlopsfw.pipeline.run.execution import Workers

_AMOUNTS = {"cpus": "cpus", "gpus": "gpus", "memory": "bytes", "processes": "processes"}
"""Field → the property with its number."""


def check_requirements(graph: Graph, workers: Workers, config: ProjectConfig) -> None:
    """Raise `ConfigError` if a step asks for more than its engine can ever give, or for a time limit that it cannot keep."""
    for node in graph.nodes.values():
        if node.config.timeout and "kill" not in workers.engine(node.engine).abilities:
            raise config.error(
                f"the engine {node.engine!r} cannot end a step at its time limit",
                f"steps.{node.name}.timeout",
                hint="Remove the timeout, or name an engine that can.",
            )
        asked = node.config.resources
        if asked == Resources():
            continue
        most = workers.engine(node.engine).capacity(asked)
        for field, amount in _AMOUNTS.items():
            if getattr(asked, amount) > getattr(most, amount):
                raise config.error(
                    f"the step asks for {_shown(asked, field)}, and one attempt on the engine {node.engine!r} gets at most "
                    f"{_shown(most, field)}",
                    f"steps.{node.name}.resources.{field}",
                    hint='Ask for less, or name an engine that has it: engine = "…".',
                )


def _shown(resources: Resources, field: str) -> str:
    return f"{field} = {resources.memory or 0}" if field == "memory" else f"{field} = {getattr(resources, field):g}"
