"""`mlopsfw.toml`, overlays and overrides, read as frozen records. Every error says file, line and key."""

from __future__ import annotations

from mlopsfw.project.config.file import FILE_NAME, find_project, load_config

__all__ = ["FILE_NAME", "find_project", "load_config"]
