"""Trainer and runtime `xgboost`: gradient-boosted trees for tables. XGBoost is imported when one of them is built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from mlopsfw.errors import MissingExtra
from mlopsfw.roles import MemorySize, Provider, hookimpl

if TYPE_CHECKING:
    from mlopsfw.roles import Host, Runtime, Trainer

_Positive = Annotated[int, msgspec.Meta(ge=1)]
_NotNegative = Annotated[int, msgspec.Meta(ge=0)]
_Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
_Penalty = Annotated[float, msgspec.Meta(ge=0)]


class XgBoostConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Configure `[trainer.xgboost]`. The names are XGBoost's own.

    Args:
        num_boost_round: Boosting rounds, at most.
        early_stopping_rounds: Rounds without a better loss on the validation rows before it stops; 0 to use all rounds.
        holdout: Share of the training rows that are held out to find the number of rounds, where no validation rows are connected: the
            latest where the rows have an event time. The trees are then grown on all rows. 0 for all rounds.
        learning_rate: Shrinkage of each tree.
        max_depth: Levels of a tree, at most; 0 for no limit, which needs `max_leaves`.
        max_leaves: Leaves of a tree, at most; 0 for no limit.
        min_child_weight: Sum of the rows' hessians in a leaf, at least.
        gamma: Gain that a split needs.
        subsample: Share of the rows that each tree is grown on.
        colsample_bytree: Share of the columns that each tree may use.
        reg_alpha: L1 penalty of a leaf's value.
        reg_lambda: L2 penalty of a leaf's value.
        max_bin: Intervals of a number, at most.
        max_cat_to_onehot: Categories below which a split takes one category from the others.
        nthread: Threads; 0 for OpenMP's own choice.
        memory: Memory that the rows may take, such as `4GiB`, as the numbers that trees read; empty for a quarter of the machine's.
            More rows are read from the files block by block. XGBoost then keeps its pages in the step's scratch folder.
        device: `cuda` grows the trees on a GPU, and fails where XGBoost or the machine has none.
    """

    num_boost_round: _Positive = 1000
    early_stopping_rounds: _NotNegative = 50
    holdout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.15
    learning_rate: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.05
    max_depth: Annotated[int, msgspec.Meta(ge=0, le=64)] = 6
    max_leaves: Annotated[int, msgspec.Meta(ge=0, le=131072)] = 0
    min_child_weight: _Penalty = 1.0
    gamma: _Penalty = 0.0
    subsample: _Share = 1.0
    colsample_bytree: _Share = 1.0
    reg_alpha: _Penalty = 0.0
    reg_lambda: _Penalty = 1.0
    max_bin: Annotated[int, msgspec.Meta(ge=2, le=65535)] = 256
    max_cat_to_onehot: _Positive = 4
    nthread: _NotNegative = 1
    memory: MemorySize = ""
    device: Literal["cpu", "cuda"] = "cpu"

    @property
    def search_space(self) -> Mapping[str, Mapping[str, Any]]:
        """What a search varies by default."""
        return {
            "learning_rate": {"low": 0.02, "high": 0.3, "log": True},
            "max_depth": {"low": 2, "high": 10},
            "min_child_weight": {"low": 0.5, "high": 100.0, "log": True},
            "subsample": {"low": 0.5, "high": 1.0},
            "colsample_bytree": {"low": 0.4, "high": 1.0},
            "reg_lambda": {"low": 1e-3, "high": 100.0, "log": True},
        }

    def __post_init__(self) -> None:
        if not self.max_depth and not self.max_leaves:
            raise ValueError("a tree needs a limit: set `max_depth`, `max_leaves` or both")


class XgBoostRuntimeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Configure `[runtime.xgboost]`.

    Args:
        nthread: Threads inside one prediction; 1 lets processes scale beside each other.
    """

    nthread: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1


def build_trainer(config: XgBoostConfig, host: Host) -> Trainer:
    """Return the trainer. Raise `MissingExtra` if XGBoost is not installed."""
    del host
    _check_installed("the trainer 'xgboost'")
    from mlopsfw_xgboost.trainer import XgBoostTrainer

    return XgBoostTrainer(config)


def build_runtime(config: XgBoostRuntimeConfig, host: Host) -> Runtime:
    """Return the runtime. Raise `MissingExtra` if XGBoost is not installed."""
    del host
    _check_installed("the runtime 'xgboost'")
    from mlopsfw_xgboost.runtime import XgBoostRuntime

    return XgBoostRuntime(config.nthread)


def _check_installed(feature: str) -> None:
    if find_spec("xgboost") is None:
        raise MissingExtra(feature, "xgboost")


@hookimpl
def mlopsfw_trainers() -> Iterable[Provider[Trainer]]:
    """Offer the trainer `xgboost`."""
    yield Provider("xgboost", XgBoostConfig, build_trainer, "Gradient-boosted trees for tables, by XGBoost")


@hookimpl
def mlopsfw_runtimes() -> Iterable[Provider[Runtime]]:
    """Offer the runtime `xgboost`."""
    yield Provider("xgboost", XgBoostRuntimeConfig, build_runtime, "XGBoost's JSON files, by XGBoost on the CPU")
