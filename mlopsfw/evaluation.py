"""Metrics of models, one implementation for trainer, gate, report and monitor; and generated rows to ask a model about."""

from __future__ import annotations

from mlopsfw.models.bundle.golden import golden_rows
from mlopsfw.models.evaluation import (
    auc,
    binary_metrics,
    calibration_error,
    class_codes,
    evaluate,
    higher_is_better,
    log_loss,
    multiclass_metrics,
    primary_metric,
    regression_metrics,
)

__all__ = [
    "auc",
    "binary_metrics",
    "calibration_error",
    "class_codes",
    "evaluate",
    "golden_rows",
    "higher_is_better",
    "log_loss",
    "multiclass_metrics",
    "primary_metric",
    "regression_metrics",
]
