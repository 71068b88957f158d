"""Rows that do not fit into memory, as LightGBM reads them: a sequence for each block, and one block at a time in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightgbm

from mlopsfw.features.encoded import MatrixBlocks

if TYPE_CHECKING:
    import numpy as np

    from mlopsfw.features.encoded import Rows


def content(rows: Rows | MatrixBlocks) -> dict[str, Any]:
    """Return rows as the arguments of `lightgbm.Dataset`."""
    if not isinstance(rows, MatrixBlocks):
        return {"data": rows.numbers, "label": rows.labels, "weight": rows.weights}
    labels, weights = rows.labels()
    newest = _Newest(rows)
    return {"data": [_Block(newest, number) for number in rows.numbers], "label": labels, "weight": weights}


class _Newest:
    """The block that was read last: LightGBM reads them in order, first the rows of its sample, then all rows."""

    def __init__(self, rows: MatrixBlocks) -> None:
        self.rows = rows
        self._blocks: dict[int, np.ndarray] = {}

    def block(self, number: int) -> np.ndarray:
        if number not in self._blocks:
            self._blocks.clear()  # before the next is read: memory holds one
            self._blocks[number] = self.rows.block(number).numbers
        return self._blocks[number]


class _Block(lightgbm.Sequence):
    """One block."""

    def __init__(self, newest: _Newest, number: int) -> None:
        self._newest, self._number = newest, number

    def __len__(self) -> int:
        return self._newest.rows.size(self._number)

    def __getitem__(self, index: int | slice | list[int]) -> np.ndarray:
        """Return rows."""
        return self._newest.block(self._number)[index]
