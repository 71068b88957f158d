"""Model bundles: the manifest that lies in one, and what a loaded one offers.

Reading and writing is `mlopsfw.models.bundle`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from mlopsfw.kernel.roles.training import Task

if TYPE_CHECKING:
    import numpy as np

ColumnType = Literal["number", "integer", "boolean", "string", "date", "datetime"]


class SignatureColumn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One column of a model's input.

    Args:
        name: Its name.
        type: What a request sends: JSON's number, string or boolean; dates and datetimes as RFC 3339 strings.
        nullable: Whether null was seen in training and so is accepted.
    """

    name: str
    type: ColumnType
    nullable: bool = False


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`bundle.json`.

    Args:
        format: Version of this layout.
        task: What the model does.
        target: The label's column.
        inputs: The signature (also as an Arrow schema in `signature.arrow`).
        outputs: Names of the outputs in order.
        classes: Label values in output order; empty for regression.
        formats: Format → main file, best first.
        files: Every other file of the bundle → sha256 in hex. A file that is missing, altered or extra is an error.
        facts: What the trainer told: versions, device, epochs, metrics.
        created: RFC 3339, UTC; empty where the bundle must be reproducible.
    """

    format: int = 1
    task: Task
    target: str
    inputs: tuple[SignatureColumn, ...]
    outputs: tuple[str, ...]
    classes: tuple[str | int | bool, ...] = ()
    formats: dict[str, str]
    files: dict[str, str]
    facts: dict[str, Any] = {}
    created: str = ""


class Predictor(Protocol):
    """A loaded network: feature arrays in, output arrays out. Thread-safe."""

    def predict(self, features: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Return each output for the rows of `features` (arrays by name; first axis is the row)."""
        ...


class Runtime(Protocol):
    """Loads one bundle format. Selected by that format, which is the provider's name."""

    def load(self, folder: Path, manifest: Manifest) -> Predictor:
        """Load the main file of this format. Raise `BundleError`; never fall back to another loader."""
        ...


class Bundle(Protocol):
    """A loaded, verified bundle."""

    @property
    def folder(self) -> Path:
        """Where it lies."""
        ...

    @property
    def manifest(self) -> Manifest:
        """`bundle.json`."""
        ...

    def predict(self, columns: Mapping[str, Any]) -> Mapping[str, np.ndarray]:
        """Score rows given as columns (lists, NumPy or Arrow arrays, Polars series, by input name), outputs by name.

        Checked against the signature first: `SignatureMismatch` names the column and row.
        """
        ...

    def profile(self) -> dict[str, Any]:
        """Return the training profile: column → `mlopsfw_core.Reference` as a dict, outputs included."""
        ...
