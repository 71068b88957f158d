"""The configuration as frozen records. `mlopsfw.project.config` reads them from `mlopsfw.toml`."""

from __future__ import annotations

from mlopsfw.kernel.config.model import ProjectConfig, Selection, StepConfig

__all__ = ["ProjectConfig", "Selection", "StepConfig"]
