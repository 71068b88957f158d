"""Metrics of models, one implementation for trainer, gate, report and monitor; and generated rows to ask a model about.

A project's `Metrics` has those of plugins too.
"""

from __future__ import annotations

from mlopsfw.capturelog.classes import class_codes
from mlopsfw.models.bundle.golden import golden_rows
from mlopsfw.models.evaluation import auc, calibration_error, log_loss
from mlopsfw.models.metrics import OWN, evaluate, evaluate_set
from mlopsfw.models.money import value_text

__all__ = [
    "OWN",
    "auc",
    "calibration_error",
    "class_codes",
    "evaluate",
    "evaluate_set",
    "golden_rows",
    "log_loss",
    "value_text",
]
