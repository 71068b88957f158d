"""mlopsfw: machine learning in production behind one small kernel.

The public names, each imported on first use, so that `import mlopsfw` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlopsfw.config import ProjectConfig
    from mlopsfw.contracts.alerting import Alert
    from mlopsfw.contracts.artifact import Artifact
    from mlopsfw.contracts.check import Check, Diagnosis
    from mlopsfw.contracts.event import Event
    from mlopsfw.contracts.provider import Provider
    from mlopsfw.filesets import FileSet
    from mlopsfw.hookspecs import hookimpl
    from mlopsfw.metrics import log_metric, start_run
    from mlopsfw.pipeline.form import Pipeline
    from mlopsfw.pipeline.step import StepContext
    from mlopsfw.project import Project

_PUBLIC = {
    "Alert": "mlopsfw.contracts.alerting",
    "Artifact": "mlopsfw.contracts.artifact",
    "Check": "mlopsfw.contracts.check",
    "Diagnosis": "mlopsfw.contracts.check",
    "Event": "mlopsfw.contracts.event",
    "FileSet": "mlopsfw.filesets",
    "Pipeline": "mlopsfw.pipeline.form",
    "Project": "mlopsfw.project",
    "ProjectConfig": "mlopsfw.config",
    "Provider": "mlopsfw.contracts.provider",
    "StepContext": "mlopsfw.pipeline.step",
    "hookimpl": "mlopsfw.hookspecs",
    "log_metric": "mlopsfw.metrics",
    "start_run": "mlopsfw.metrics",
}

__all__ = [
    "Alert",
    "Artifact",
    "Check",
    "Diagnosis",
    "Event",
    "FileSet",
    "Pipeline",
    "Project",
    "ProjectConfig",
    "Provider",
    "StepContext",
    "__version__",
    "hookimpl",
    "log_metric",
    "start_run",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "__version__":
        from importlib.metadata import version

        return version("mlopsfw")
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'mlopsfw' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
