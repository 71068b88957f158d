"""What an engine calls on the node that it chose: run one attempt of one step."""

from __future__ import annotations

from mlopsfw.project.worker import execute

__all__ = ["execute"]
