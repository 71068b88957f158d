"""Trainer and runtime `lightgbm`: gradient-boosted trees for tables. LightGBM is imported when one of them is built.

Both are in this package, since both turn columns into numbers by the same `Encoding`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from mlopsfw.errors import MissingExtra
from mlopsfw.roles import MemorySize, Provider, hookimpl

if TYPE_CHECKING:
    from mlopsfw.roles import Host, Runtime, Trainer

_Positive = Annotated[int, msgspec.Meta(ge=1)]
_NotNegative = Annotated[int, msgspec.Meta(ge=0)]
_Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
_Penalty = Annotated[float, msgspec.Meta(ge=0)]


class LightGbmConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Configure `[trainer.lightgbm]`. The names are LightGBM's own.

    Args:
        num_iterations: Boosting rounds, at most.
        early_stopping_round: Rounds without a better loss on the validation rows before it stops; 0 to use all rounds.
        holdout: Share of the training rows that are held out to find the number of rounds, where no validation rows are connected: the
            latest where the rows have an event time. The trees are then grown on all rows. 0 for all rounds.
        learning_rate: Shrinkage of each tree.
        num_leaves: Leaves of a tree, at most.
        max_depth: Levels of a tree, at most; 0 for no limit.
        min_data_in_leaf: Training rows in a leaf, at least.
        feature_fraction: Share of the columns that each tree may use.
        bagging_fraction: Share of the rows that each tree is grown on.
        lambda_l1: L1 penalty of a leaf's value.
        lambda_l2: L2 penalty of a leaf's value.
        max_bin: Intervals of a number, at most.
        num_threads: Threads; 0 for OpenMP's own choice.
        memory: Memory that the rows may take, such as `4GiB`, as the numbers that trees read; empty for a quarter of the machine's.
            More rows are read from the files block by block. LightGBM then keeps a byte or two of each number, and no table.
    """

    num_iterations: _Positive = 1000
    early_stopping_round: _NotNegative = 50
    holdout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.15
    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 0.05
    num_leaves: Annotated[int, msgspec.Meta(ge=2, le=131072)] = 31
    max_depth: _NotNegative = 0
    min_data_in_leaf: _Positive = 20
    feature_fraction: _Share = 1.0
    bagging_fraction: _Share = 1.0
    lambda_l1: _Penalty = 0.0
    lambda_l2: _Penalty = 0.0
    max_bin: Annotated[int, msgspec.Meta(ge=2, le=65535)] = 255
    num_threads: _NotNegative = 1
    memory: MemorySize = ""

    @property
    def search_space(self) -> Mapping[str, Mapping[str, Any]]:
        """What a search varies by default."""
        return {
            "learning_rate": {"low": 0.02, "high": 0.3, "log": True},
            "num_leaves": {"low": 4, "high": 128, "log": True},
            "min_data_in_leaf": {"low": 5, "high": 200, "log": True},
            "feature_fraction": {"low": 0.4, "high": 1.0},
            "bagging_fraction": {"low": 0.5, "high": 1.0},
            "lambda_l2": {"low": 1e-3, "high": 100.0, "log": True},
        }


class LightGbmRuntimeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Configure `[runtime.lightgbm]`.

    Args:
        num_threads: Threads inside one prediction; 1 lets processes scale beside each other.
    """

    num_threads: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1


def build_trainer(config: LightGbmConfig, host: Host) -> Trainer:
    """Return the trainer. Raise `MissingExtra` if LightGBM is not installed."""
    del host
    _check_installed("the trainer 'lightgbm'")
    from mlopsfw_lightgbm.trainer import LightGbmTrainer

    return LightGbmTrainer(config)


def build_runtime(config: LightGbmRuntimeConfig, host: Host) -> Runtime:
    """Return the runtime. Raise `MissingExtra` if LightGBM is not installed."""
    del host
    _check_installed("the runtime 'lightgbm'")
    from mlopsfw_lightgbm.runtime import LightGbmRuntime

    return LightGbmRuntime(config.num_threads)


def _check_installed(feature: str) -> None:
    if find_spec("lightgbm") is None:
        raise MissingExtra(feature, "lightgbm")


@hookimpl
def mlopsfw_trainers() -> Iterable[Provider[Trainer]]:
    """Offer the trainer `lightgbm`."""
    yield Provider("lightgbm", LightGbmConfig, build_trainer, "Gradient-boosted trees for tables, by LightGBM")


@hookimpl
def mlopsfw_runtimes() -> Iterable[Provider[Runtime]]:
    """Offer the runtime `lightgbm`."""
    yield Provider("lightgbm", LightGbmRuntimeConfig, build_runtime, "LightGBM's text files, by LightGBM on the CPU")
