"""Rows as XGBoost reads them: in memory, or block by block with pages on the disk. And the device that it computes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost

from mlopsfw.errors import PluginError
from mlopsfw.features.encoded import Columns, MatrixBlocks, Rows
from mlopsfw_xgboost.runtime import finite

if TYPE_CHECKING:
    from mlopsfw_xgboost import XgBoostConfig


def check_device(device: str) -> None:
    """Raise `PluginError` if the device is CUDA and there is none: XGBoost would take the CPU, with a warning."""
    if device != "cuda":
        return
    hint = "Set device = 'cpu', or install `xgboost` with CUDA in place of `xgboost-cpu`, on a machine with a GPU."
    version = f"[trainer.xgboost] device = 'cuda', but XGBoost {xgboost.__version__}"
    if not xgboost.build_info().get("USE_CUDA"):
        raise PluginError(f"{version} is built for the CPU", hint=hint)
    if _chosen(device) != device:
        raise PluginError(f"{version} finds no GPU on this machine", hint=hint)


def _chosen(device: str) -> str:
    """Return the kind of device that XGBoost takes where this one is asked for."""
    probe = xgboost.DMatrix(np.zeros((2, 1)), label=np.array([0.0, 1.0]))
    with xgboost.config_context(verbosity=0):
        booster = xgboost.train({"device": device, "max_depth": 1}, probe, 1)
    chosen: str = json.loads(booster.save_config())["learner"]["generic_param"]["device"]
    return chosen.partition(":")[0]


def quantile_matrix(
    rows: Rows | MatrixBlocks, columns: Columns, config: XgBoostConfig, reference: xgboost.DMatrix | None, pages: Path
) -> xgboost.DMatrix:
    """Return rows in quantile intervals: those of `reference`, if given.

    Args:
        rows: The rows.
        columns: Their columns.
        config: The trainer's configuration.
        reference: The matrix of the training rows.
        pages: Where the pages of rows that do not fit into memory are written.
    """
    kinds = ["q" if each.kind == "number" else "c" for each in columns.encodings]
    options: dict[str, Any] = {
        "max_bin": config.max_bin, "nthread": config.nthread, "ref": reference, "enable_categorical": True,
    }  # fmt: skip
    if isinstance(rows, MatrixBlocks):
        return xgboost.ExtMemQuantileDMatrix(_Blocks(rows, kinds, pages), **options)
    return xgboost.QuantileDMatrix(rows.numbers, rows.labels, weight=rows.weights, feature_types=kinds, **options)


class _Blocks(xgboost.DataIter):
    """The rows of a table, a block at a time. XGBoost reads them two or three times, then its pages."""

    def __init__(self, rows: MatrixBlocks, kinds: list[str], pages: Path) -> None:
        super().__init__(cache_prefix=str(pages), on_host=False)
        self._rows, self._kinds = rows, kinds
        self._left: Iterator[Rows] = iter(())

    def reset(self) -> None:
        """Begin anew."""
        self._left = self._rows.all()

    def next(self, input_data: Callable[..., Any]) -> bool:
        """Give the next block to XGBoost; return whether there was one."""
        rows = next(self._left, None)
        if rows is None:
            return False
        finite(rows.numbers)
        input_data(data=rows.numbers, label=rows.labels, weight=rows.weights, feature_types=self._kinds)
        return True
