"""Feature plans: what turns a row of a request into the numbers that a network reads, the same in training and in serving.

A plan is a closed set of row-wise operations kept as JSON. `FeaturePlan.polars` runs it over a training table, `FeaturePlan.numpy`
over the columns of a request; both give the same bits. Joins, windows and Python steps happen upstream: what they yield are
columns of the request. Importing this package and running a plan with NumPy needs neither Polars nor Arrow.
"""

from __future__ import annotations

from mlopsfw.features.plan import Cycle, FeaturePlan, Hash, Lookup, Missing, Operation, Ramp, Scale

__all__ = ["Cycle", "FeaturePlan", "Hash", "Lookup", "Missing", "Operation", "Ramp", "Scale"]
