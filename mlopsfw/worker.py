"""What the processes that plugins start call: an engine's worker runs a step, a deployer's server opens its model."""

from __future__ import annotations

from mlopsfw.models.bundle.scoring import Extras
from mlopsfw.project.server import compact_log, open_scorer
from mlopsfw.project.worker import execute
from mlopsfw.serving.scorer import Scored, Scorer

__all__ = ["Extras", "Scored", "Scorer", "compact_log", "execute", "open_scorer"]
