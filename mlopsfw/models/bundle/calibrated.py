"""`calibration.json` of a bundle: how its answers are calibrated, and what its intervals or sets are made of. Read by every server: needs only NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from mlopsfw.kernel.base.errors import BundleError
from mlopsfw.models.bundle.files import CALIBRATION, read_listed
from mlopsfw.models.calibration import Isotonic, Map, Temperature
from mlopsfw.models.conformal import CLASS, Answer, Conformal, class_sets, value_intervals

if TYPE_CHECKING:
    from pathlib import Path

    from mlopsfw.kernel.roles.bundle import Manifest

_LONGEST = 64 << 20
_KINDS = {"binary": ("lac", "aps"), "multiclass": ("lac", "aps"), "regression": ("absolute", "normalised", "cqr")}
_GROUPED = ("string", "integer", "boolean")


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`calibration.json`.

    Args:
        format: Version of this layout.
        map: What is applied to the model's probabilities; None for nothing.
        conformal: Intervals or sets, on request, of what the model answers before the map.
    """

    format: int = 1
    map: Temperature | Isotonic | None = None
    conformal: Conformal


def read_calibration(folder: Path, manifest: Manifest) -> Calibration | None:
    """Return the calibration of a bundle; None where it has none. Raise `BundleError`."""
    if CALIBRATION not in manifest.files:
        return None
    try:
        calibration = msgspec.json.decode(read_listed(folder, manifest, CALIBRATION, _LONGEST), type=Calibration)
        check_calibration(calibration, manifest)
    except (msgspec.DecodeError, RecursionError, BundleError) as error:
        raise BundleError(f"{folder / CALIBRATION} cannot be used: {error}") from None
    return calibration


def check_calibration(calibration: Calibration, manifest: Manifest) -> None:
    """Raise `BundleError` where a calibration does not suit the model."""
    kind = calibration.conformal.kind
    if calibration.format != 1:
        raise BundleError(f"format {calibration.format} is not known", hint="A newer mlopsfw reads it.")
    if kind not in _KINDS.get(manifest.task, ()) or (calibration.map and manifest.task == "regression"):
        raise BundleError(f"{kind!r} is not for the task {manifest.task!r}")
    if isinstance(calibration.map, Isotonic) and manifest.task != "binary":
        raise BundleError("an isotonic calibration is for two classes")
    check_by(calibration.conformal.by, manifest)
    if kind == "cqr" and len(_quantiles(manifest)) != 2:  # noqa: PLR2004 - the lower and the upper
        raise BundleError("the model has no two outputs that are quantiles of the target")


def check_by(by: str, manifest: Manifest) -> None:
    """Raise `BundleError` where `by` names no groups of a model's rows."""
    inputs = {column.name: column.type for column in manifest.inputs}
    if (by == CLASS and not manifest.classes) or (by not in ("", CLASS) and inputs.get(by) not in _GROUPED):
        hint = f"Name an input of the type {', '.join(_GROUPED)}."
        raise BundleError(f"{by!r} is no input of the model whose values are groups", hint=hint)


def calibrated(fitted: Map | None, manifest: Manifest, outputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Return checked outputs with the main one calibrated, in its own type."""
    main = manifest.outputs[0].name
    if fitted is None or not len(outputs[main]):
        return outputs
    return {**outputs, main: fitted(outputs[main].astype(np.float64)).astype(outputs[main].dtype)}


def uncertainty(
    conformal: Conformal,
    manifest: Manifest,
    arrays: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray],
    alpha: float,
) -> dict[str, np.ndarray]:
    """Return intervals or sets that miss the truth in at most `alpha` of the rows.

    Args:
        conformal: The bundle's.
        manifest: The bundle's.
        arrays: Input → values, as a runtime gets them.
        outputs: Output → values, as the model answers: an isotonic map would make many scores equal.
        alpha: In (0, 1).

    Returns:
        `<output>.low` and `<output>.high`, float64 `[rows]`; or `<output>.set`, bool `[rows, classes]`.
    """
    name, answer = manifest.outputs[0].name, answer_of(manifest, conformal.by, arrays, outputs)
    if manifest.classes:
        return {f"{name}.set": class_sets(conformal, answer, alpha, class_names(manifest))}
    low, high = value_intervals(conformal, answer, alpha)
    return {f"{name}.low": low, f"{name}.high": high}


def class_names(manifest: Manifest) -> dict[str, str]:
    """Return what a reader calls the groups by class, which calibrations call by their codes."""
    return {str(code): str(value) for code, value in enumerate(manifest.classes)}


def answer_of(
    manifest: Manifest, by: str, arrays: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]
) -> Answer:
    """Return outputs as conformal prediction takes them, with the group of each row."""
    main = outputs[manifest.outputs[0].name].astype(np.float64)
    groups = np.full(len(main), "") if by in ("", CLASS) else np.array([_text(each) for each in arrays[by].tolist()])
    quantiles = [outputs[each].astype(np.float64) for each in _quantiles(manifest)]
    return Answer(main, groups, *quantiles) if len(quantiles) == 2 else Answer(main, groups)  # noqa: PLR2004 - lower, upper


def _text(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _quantiles(manifest: Manifest) -> list[str]:
    """Return the outputs that are quantiles of the target, the lower first."""
    found = sorted((each.quantile, each.name) for each in manifest.outputs if each.quantile is not None)
    return [name for _, name in found]
