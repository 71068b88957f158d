"""Configuration: `mlopsfw.toml`, overlays and overrides as frozen records. Every error says file, line and key."""

from __future__ import annotations

from mlopsfw.kernel.config.load import FILE_NAME, find_project, load_config
from mlopsfw.kernel.config.model import ProjectConfig, Selection, StepConfig

__all__ = ["FILE_NAME", "ProjectConfig", "Selection", "StepConfig", "find_project", "load_config"]
