"""Feature plans: turn a row of a request into the numbers that a network reads, identically in training and serving.

A plan is a closed set of row-wise operations, stored as JSON. `FeaturePlan.polars` runs it on a training table, `FeaturePlan.numpy` on the
columns of a request; both give the same bits. Joins, windows and Python steps run upstream: their results are columns of the request.
Importing this package and running a plan with NumPy needs neither Polars nor Arrow.

"""

from __future__ import annotations

from mlopsfw.features.plan import Cycle, FeaturePlan, Hash, Lookup, Missing, Operation, Ramp, Scale

__all__ = ["Cycle", "FeaturePlan", "Hash", "Lookup", "Missing", "Operation", "Ramp", "Scale"]
