"""Model bundles: the manifest that lies in one, and what a loaded one offers.

Reading and writing is `mlopsfw.models.bundle`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import msgspec

from mlopsfw.kernel.base.lazy import lazy

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy("numpy")

ScalarType = Literal["number", "integer", "boolean", "string", "date", "datetime", "binary"]
ColumnType = ScalarType | Literal["list", "tensor"]
Dtype = Literal[
    "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool",
]  # fmt: skip


class SignatureColumn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One column of a model's input.

    Args:
        name: Its name.
        type: What a request sends: JSON's number, string or boolean; dates and datetimes as RFC 3339 strings, binary as
            base64; a list, or a tensor as nested lists.
        nullable: Whether a value may be missing. In a tensor: whether an element may be NaN.
        items: Type of the items of a `list`.
        dtype, shape: Of a `tensor`: the type of its elements, and the sides of one row's tensor; None is any length,
            alike for all rows of one request.
    """

    name: str
    type: ColumnType
    nullable: bool = False
    items: ScalarType | None = None
    dtype: Dtype | None = None
    shape: tuple[int | None, ...] = ()


TASK_OUTPUTS = {"binary": "probability", "multiclass": "probabilities", "regression": "value"}
"""Task → the name of its own output, which a model has unless its trainer declares others."""
QUANTILE_OUTPUT = "quantile_{}"
"""The name of the output for a level of `TrainingTask.quantiles`, such as `quantile_0.05`."""


class OutputColumn(SignatureColumn, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One output of a model, and what its values must obey. Every answer is checked; numbers are finite.

    Args:
        nullable: Whether NaN, or None, may stand for a missing value.
        minimum, maximum: The bounds of each number.
        total: The sum over the last axis of a tensor.
        quantile: Which quantile of the target this output is, in (0, 1).
    """

    minimum: float | None = None
    maximum: float | None = None
    total: float | None = None
    quantile: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`bundle.json`.

    Args:
        format: Version of this layout.
        task: What the model does: `binary`, `multiclass`, `regression`, or any other word, such as `ranking`.
        target: The label's column; empty where there is none.
        inputs: The signature (also as an Arrow schema in `signature.arrow`).
        outputs: The outputs in order. The first of a binary, multiclass or regression model is what the task asks for.
        classes: Label values in output order; empty for regression.
        formats: Format → main file, best first.
        files: Every other file of the bundle → sha256 in hex. A file that is missing, altered or extra is an error.
        facts: What the trainer told: versions, device, epochs, metrics.
        created: RFC 3339, UTC; empty where the bundle must be reproducible.
    """

    format: int = 2
    task: str
    target: str
    inputs: tuple[SignatureColumn, ...]
    outputs: tuple[OutputColumn, ...]
    classes: tuple[str | int | bool, ...] = ()
    formats: dict[str, str]
    files: dict[str, str]
    facts: dict[str, Any] = {}
    created: str = ""


class Model(Protocol):
    """A loaded model: columns in, columns out. Thread-safe.

    It may have `explain`, of the same form: what each input adds to a sum, and under "" the rest. Of two classes, it is
    the log odds; of more, `[rows, classes]` whose softmax is the probabilities; of a regression, its value or its log.
    """

    def predict(self, columns: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        """Return each output of the manifest for the rows of `columns`: NumPy or Arrow arrays, first axis the row.

        Args:
            columns: Each input as an array, checked against the signature. Numbers are float64, with NaN for missing;
                dates datetime64[D] and datetimes datetime64[us], with NaT; integers int64 and booleans bool, but
                objects with None where one is missing; strings, binary and lists objects; a tensor has its dtype.
        """


class Runtime(Protocol):
    """Loads one bundle format. Selected by that format, which is the provider's name.

    A runtime may also have `adopt(task: TrainingTask, model: TrainedModel, scratch: Path)`. It returns both, completed
    from the model's file, made elsewhere: `task.task`, and the model's inputs, outputs and classes may be empty before.
    """

    def load(self, folder: Path, manifest: Manifest) -> Model:
        """Load the main file of this format. Raise `BundleError`; never fall back to another loader."""


class Bundle(Protocol):
    """A loaded, verified bundle."""

    @property
    def folder(self) -> Path:
        """Where it lies."""

    @property
    def manifest(self) -> Manifest:
        """`bundle.json`."""

    def predict(self, columns: Mapping[str, Any]) -> Mapping[str, np.ndarray]:
        """Score rows given as columns (lists, NumPy or Arrow arrays, Polars series, by input name), outputs by name.

        Checked against the signature first: `SignatureMismatch` names the column and row.
        """

    def profile(self) -> dict[str, Any]:
        """Return the training profile: column → `mlopsfw_core.Reference` as a dict, outputs included."""
