"""mlopsfw: machine learning in production behind one small kernel.

The public names, each imported on first use, so that `import mlopsfw` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlopsfw.data.filesets import FileSet
    from mlopsfw.kernel.config import ProjectConfig
    from mlopsfw.kernel.roles.alerting import Alert
    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.kernel.roles.check import Check, Diagnosis
    from mlopsfw.kernel.roles.event import Event
    from mlopsfw.kernel.roles.hookspecs import hookimpl
    from mlopsfw.kernel.roles.provider import Provider
    from mlopsfw.pipeline.graph.step import StepContext
    from mlopsfw.pipeline.run.autolog.switch import autolog
    from mlopsfw.pipeline.run.metrics import log_metric, log_metrics
    from mlopsfw.project.facade import Project
    from mlopsfw.project.logged_model import load_model
    from mlopsfw.project.python_pipeline import Pipeline
    from mlopsfw.project.script_run import log_artifact, log_model, log_param, log_params, search_runs, start_run

_PUBLIC = {
    "Alert": "mlopsfw.kernel.roles.alerting",
    "Artifact": "mlopsfw.kernel.roles.artifact",
    "Check": "mlopsfw.kernel.roles.check",
    "Diagnosis": "mlopsfw.kernel.roles.check",
    "Event": "mlopsfw.kernel.roles.event",
    "FileSet": "mlopsfw.data.filesets",
    "Pipeline": "mlopsfw.project.python_pipeline",
    "Project": "mlopsfw.project.facade",
    "ProjectConfig": "mlopsfw.kernel.config",
    "Provider": "mlopsfw.kernel.roles.provider",
    "StepContext": "mlopsfw.pipeline.graph.step",
    "autolog": "mlopsfw.pipeline.run.autolog.switch",
    "hookimpl": "mlopsfw.kernel.roles.hookspecs",
    "load_model": "mlopsfw.project.logged_model",
    "log_artifact": "mlopsfw.project.script_run",
    "log_metric": "mlopsfw.pipeline.run.metrics",
    "log_metrics": "mlopsfw.pipeline.run.metrics",
    "log_model": "mlopsfw.project.script_run",
    "log_param": "mlopsfw.project.script_run",
    "log_params": "mlopsfw.project.script_run",
    "search_runs": "mlopsfw.project.script_run",
    "start_run": "mlopsfw.project.script_run",
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
    "autolog",
    "hookimpl",
    "load_model",
    "log_artifact",
    "log_metric",
    "log_metrics",
    "log_model",
    "log_param",
    "log_params",
    "search_runs",
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
