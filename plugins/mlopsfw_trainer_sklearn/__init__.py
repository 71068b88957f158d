"""Trainer `sklearn`: any estimator or pipeline of scikit-learn. Runtime `skops`: those that ONNX does not hold as they are.

Both are in this package, since both give the estimator the same frame, and check the file by the same list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from mlopsfw.errors import ConfigError, MissingExtra
from mlopsfw.roles import Provider, hookimpl

if TYPE_CHECKING:
    from mlopsfw.roles import Host, Runtime, Trainer


class SklearnConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Configure `[trainer.sklearn]`. It has either `estimator` or `factory`.

    Args:
        estimator: A class, such as `sklearn.linear_model:LogisticRegression`.
        factory: A function that returns an estimator or a Pipeline with its own preprocessing, such as `acme.models:make`.
        params: Keyword arguments of the class or the function.
        format: `auto` keeps the model as ONNX if that answers as scikit-learn does, else as skops. `onnx` and `skops` allow
            only that one.
        threads: Threads of one fit; 0 for all cores. Results may depend on their number.
    """

    estimator: str = ""
    factory: str = ""
    params: dict[str, Any] = {}
    format: Literal["auto", "onnx", "skops"] = "auto"
    threads: Annotated[int, msgspec.Meta(ge=0)] = 1

    def __post_init__(self) -> None:
        if bool(self.estimator) == bool(self.factory):
            raise ConfigError(
                "the trainer 'sklearn' has either `estimator` or `factory`",
                key="factory" if self.factory else "estimator",
                hint='Set estimator = "sklearn.linear_model:LogisticRegression", or factory = "acme.models:make" for a Pipeline.',
            )

    @property
    def search_space(self) -> Mapping[str, Mapping[str, Any]]:
        """What a search varies by default: nothing of an estimator that is not listed here, or that a factory makes."""
        return {f"params.{name}": values for name, values in _SPACES.get(self.estimator.partition(":")[2], {}).items()}


_Values = dict[str, dict[str, Any]]
_STRENGTH = {"low": 1e-3, "high": 1e3, "log": True}
_FOREST: _Values = {
    "n_estimators": {"low": 100, "high": 500, "log": True},
    "min_samples_leaf": {"low": 1, "high": 50, "log": True},
    "max_features": {"low": 0.2, "high": 1.0},
}
_BOOSTED: _Values = {
    "learning_rate": {"low": 0.01, "high": 0.3, "log": True},
    "max_iter": {"low": 50, "high": 1000, "log": True},
    "max_leaf_nodes": {"low": 4, "high": 128, "log": True},
    "min_samples_leaf": {"low": 5, "high": 200, "log": True},
}
_SPACES: dict[str, _Values] = {
    "LogisticRegression": {"C": _STRENGTH},
    "Ridge": {"alpha": _STRENGTH},
    "Lasso": {"alpha": {"low": 1e-5, "high": 10.0, "log": True}},
    "RandomForestClassifier": _FOREST,
    "RandomForestRegressor": _FOREST,
    "ExtraTreesClassifier": _FOREST,
    "ExtraTreesRegressor": _FOREST,
    "HistGradientBoostingClassifier": _BOOSTED,
    "HistGradientBoostingRegressor": _BOOSTED,
    "KNeighborsClassifier": {"n_neighbors": {"low": 1, "high": 100, "log": True}},
    "KNeighborsRegressor": {"n_neighbors": {"low": 1, "high": 100, "log": True}},
}


class SkopsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Configure `[runtime.skops]`. There is nothing to configure."""


def build_trainer(config: SklearnConfig, host: Host) -> Trainer:
    """Return the trainer. Raise `MissingExtra` if scikit-learn or an exporter is not installed."""
    del host
    _check_installed("the trainer 'sklearn'", "sklearn", "skl2onnx", "skops", "onnx", "onnxruntime")
    from mlopsfw_trainer_sklearn.trainer import SklearnTrainer

    return SklearnTrainer(config)


def build_runtime(config: SkopsConfig, host: Host) -> Runtime:
    """Return the runtime. Raise `MissingExtra` if scikit-learn or skops is not installed."""
    del config, host
    _check_installed("the runtime 'skops'", "sklearn", "skops")
    from mlopsfw_trainer_sklearn.runtime import SkopsRuntime

    return SkopsRuntime()


def _check_installed(feature: str, *modules: str) -> None:
    if any(find_spec(name) is None for name in modules):
        raise MissingExtra(feature, "sklearn")


@hookimpl
def mlopsfw_trainers() -> Iterable[Provider[Trainer]]:
    """Offer the trainer `sklearn`."""
    yield Provider(
        "sklearn",
        SklearnConfig,
        build_trainer,
        "Estimators and pipelines of scikit-learn",
        code=("estimator", "factory"),
    )


@hookimpl
def mlopsfw_runtimes() -> Iterable[Provider[Runtime]]:
    """Offer the runtime `skops`."""
    yield Provider("skops", SkopsConfig, build_runtime, "Files of skops that hold nothing but types of a fixed list")
