"""How a fitted estimator is kept: as ONNX where that answers as scikit-learn does, else as skops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlopsfw.errors import UsageError
from mlopsfw_trainer_sklearn.frame import outputs_of
from mlopsfw_trainer_sklearn.onnx_file import ConversionRefused, answers, convert, max_difference, versions
from mlopsfw_trainer_sklearn.quantiles import joined

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.roles import SignatureColumn

_WIDTHS = ("float64", "float32")


class Comparison(NamedTuple):
    """What two forms of a model are asked.

    Args:
        task: `binary`, `multiclass` or `regression`.
        inputs: The signature.
        frames: The rows.
    """

    task: str
    inputs: Sequence[SignatureColumn]
    frames: Sequence[pl.DataFrame]


class Kept(NamedTuple):
    """The files of a model.

    Args:
        files: Name in the bundle → file.
        formats: Format → main file.
        versions: Distribution → version of what a server needs.
        facts: How it was kept, and why not as ONNX.
    """

    files: Mapping[str, Path]
    formats: Mapping[str, str]
    versions: dict[str, str]
    facts: dict[str, Any]


def keep(estimator: Any, compared: Comparison, form: str, folder: Path, quantiles: Mapping[str, Any]) -> Kept:
    """Write the estimator into `folder`.

    Args:
        estimator: It is fitted.
        compared: Rows for which ONNX must answer as the estimator does.
        form: `onnx`, `skops`, or `auto` for the first that can hold it.
        folder: Where the file goes.
        quantiles: Output → the estimator of a quantile, the lower first. Only ONNX holds them.

    Raises:
        UsageError: No open format holds it; names why, and the alternatives.
    """
    reasons = []
    if form != "skops":
        kept, reason = _as_onnx(estimator, compared, folder, quantiles)
        if kept is not None:
            return kept
        reasons.append(f"ONNX: {reason}")
    if quantiles:
        reasons.append("skops: a file holds one estimator, and quantiles need one each")
    elif form != "onnx":
        # Only here, since skops imports all of scikit-learn.
        from mlopsfw_trainer_sklearn.skops_file import NotAllowed, dump, skops_versions

        try:
            data = dump(estimator)
        except NotAllowed as error:
            reasons.append(f"skops: {error}")
        else:
            (folder / "model.skops").write_bytes(data)
            facts = {"format": "skops"} | ({"not_onnx": reasons[0].removeprefix("ONNX: ")} if reasons else {})
            return Kept({"model.skops": folder / "model.skops"}, {"skops": "model.skops"}, skops_versions(), facts)
    raise UsageError(
        f"no open format holds this {type(estimator).__name__}. {'; '.join(reasons)}",
        hint="Use estimators and transformers of scikit-learn that skl2onnx converts, do your own preprocessing in an earlier "
        "step, or write a trainer and a runtime of your own: mlopsfw plugins new trainer NAME.",
    )


def _as_onnx(
    estimator: Any, compared: Comparison, folder: Path, quantiles: Mapping[str, Any]
) -> tuple[Kept | None, str]:
    """Return the model as ONNX, in float64 where ONNX Runtime can compute it so; or None, and why it cannot be kept so."""
    reasons = []
    for width in _WIDTHS:
        try:
            data, difference = _converted(estimator, compared, width)
            parts = {name: _converted(each, compared, width) for name, each in quantiles.items()}
        except ConversionRefused as error:
            reasons.append(str(error))
            continue
        file = folder / "model.onnx"
        file.write_bytes(joined(data, {name: part for name, (part, _) in parts.items()}))
        difference = max([difference, *(each for _, each in parts.values())])
        facts = {"format": "onnx", "precision": width, "export_difference": float(f"{difference:.1e}")}
        rows = sum(frame.height for frame in compared.frames)
        return Kept({file.name: file}, {"onnx": file.name}, versions(), facts | {"compared_rows": rows}), ""
    return None, ", and in float32: ".join(dict.fromkeys(reasons))


def _converted(estimator: Any, compared: Comparison, width: str) -> tuple[bytes, float]:
    """Return an estimator as ONNX, and how far its answers are from scikit-learn's. Raise `ConversionRefused`."""
    task, inputs, frames = compared
    data = convert(estimator, task, inputs, width)
    pairs = [(outputs_of(estimator, frame, task), answers(data, frame, inputs)) for frame in frames]
    return data, max(max_difference(expected, returned, task) for expected, returned in pairs)
