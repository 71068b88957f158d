"""The built-in steps: their names, and where each one lies. Looking a name up imports that step's module and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopsfw.kernel.base.errors import UnknownName
from mlopsfw.kernel.base.ids import nearest

if TYPE_CHECKING:
    from mlopsfw.pipeline.graph.step import BuiltinStep

BUILTIN_STEPS = {
    "ingest": "mlopsfw.steps.ingest:STEP",
    "check": "mlopsfw.steps.check:STEP",
    "sql": "mlopsfw.steps.sql:STEP",
    "join": "mlopsfw.steps.join:STEP",
    "leakage": "mlopsfw.steps.leakage:STEP",
    "features": "mlopsfw.steps.features:STEP",
    "split": "mlopsfw.steps.split:STEP",
    "train": "mlopsfw.steps.train:STEP",
    "evaluate": "mlopsfw.steps.evaluate:STEP",
    "gate": "mlopsfw.steps.gate:STEP",
    "register": "mlopsfw.steps.register:STEP",
    "deploy": "mlopsfw.steps.deploy:STEP",
    "monitor": "mlopsfw.steps.monitor:STEP",
    "alert": "mlopsfw.steps.alert:STEP",
}


def builtin_step(name: str) -> BuiltinStep:
    """Return the built-in step called `name`; raise `UnknownName` with the nearest one."""
    import importlib

    try:
        module, _, attribute = BUILTIN_STEPS[name].partition(":")
    except KeyError:
        raise UnknownName(f"there is no built-in step {name!r}", hint=nearest(name, BUILTIN_STEPS)) from None
    step: BuiltinStep = getattr(importlib.import_module(module), attribute)
    return step
