"""The Kolmogorov-Smirnov test against a reference that is prepared once."""

from __future__ import annotations

from typing import Any

from mlopsfw_core._buffers import numeric_values

from ._gaps import SMALLEST_GRID, Counted, cells_for, counted_extremes, spread
from ._levels import few_levels
from ._samples import ordered, sorted_values
from .ks import Alternative, Extremes, KsResult, Method, direction_of, ks_result, sorted_extremes


class KsReference:
    """A reference sample, sorted and counted into cells, so that a test against it costs what the current sample costs.

    It answers what `ks_2samp(reference, current)` answers. Threads may share it. For what is kept with a model and
    written down, see `mlopsfw_core.Reference`.
    """

    def __init__(self, reference: Any) -> None:
        """Prepare a reference.

        Args:
            reference: any column of numbers; nulls and NaN are left out.
        """
        self._sorted = sorted_values(reference)
        self._place = None
        if self._sorted.size >= SMALLEST_GRID and spread(self._sorted, self._sorted)[1] > 0:
            self._place = (*spread(self._sorted, self._sorted), cells_for(2 * self._sorted.size))
            self._counted = Counted(self._sorted, *self._place, ascending=True)

    def ks_2samp(self, current: Any, alternative: Alternative = "two-sided", method: Method = "auto") -> KsResult:
        """Test a current sample against the reference; the arguments and the result are those of `drift.ks_2samp`."""
        direction = direction_of(alternative)
        values, _ = numeric_values(current)
        extremes: Extremes | None = None
        if self._place is not None and values.size >= SMALLEST_GRID and few_levels(values) is None:
            extremes = counted_extremes(self._counted, Counted(values, *self._place))
        if extremes is None:
            values = ordered(values)
            extremes = sorted_extremes(self._sorted, values)
        return ks_result(extremes, self._sorted.size, values.size, direction, method)
