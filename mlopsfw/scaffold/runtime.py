"""The runtime `sample`: loads linear models, kept as a weight for each column in a JSON file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlopsfw import Provider, hookimpl
from mlopsfw.errors import BundleError
from mlopsfw.roles import Host, Manifest, Model, Runtime, read_model

if TYPE_CHECKING:
    import numpy as np


class SampleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[runtime.sample]`: there is nothing to set."""


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model's file.

    Args:
        bias: What is added to every answer.
        weights: Column → its factor.
    """

    bias: float
    weights: dict[str, float]


class SampleModel:
    """A loaded model."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights

    def predict(self, columns: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Return `value` for each row; a missing number counts as 0."""
        import numpy as np

        rows = len(next(iter(columns.values())))
        value = np.full(rows, self._weights.bias)
        for name, weight in self._weights.weights.items():
            value += weight * np.nan_to_num(columns[name])
        return {"value": value}


class SampleRuntime:
    """Loads models of the format `sample`."""

    def load(self, folder: Path, manifest: Manifest) -> Model:
        """Load the model. Raise `BundleError` where it is none, or is not the one that the manifest describes."""
        if [output.name for output in manifest.outputs] != ["value"]:
            raise BundleError(f"{folder}: a model of this format answers with `value` alone")
        try:
            weights = msgspec.json.decode(read_model(folder, manifest, "sample"), type=Weights)
        except msgspec.DecodeError as error:
            raise BundleError(f"{folder}: the model cannot be read: {error}") from None
        if unknown := sorted(weights.weights.keys() - {column.name for column in manifest.inputs}):
            raise BundleError(f"{folder}: the model weighs {unknown[0]!r}, which is no input of the manifest")
        return SampleModel(weights)


def _build(_config: SampleConfig, _host: Host) -> Runtime:
    return SampleRuntime()


@hookimpl
def mlopsfw_runtimes() -> Iterable[Provider[Runtime]]:
    """Offer the runtime, by its format."""
    yield Provider("sample", SampleConfig, _build, "Linear models in JSON")
