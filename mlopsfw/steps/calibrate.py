"""The built-in step `calibrate`: make a model's probabilities true on rows that it has not seen, and give it intervals or sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import msgspec

from mlopsfw.kernel.base.errors import DataError, UsageError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.roles.hookspecs import hookimpl
from mlopsfw.kernel.roles.provider import Provider
from mlopsfw.kernel.roles.step import Step
from mlopsfw.pipeline.graph.step import BundleFolder, StepContext
from mlopsfw.steps.scored import rows_with_label, weights_of

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from mlopsfw.kernel.roles.host import Host
    from mlopsfw.models.bundle import BundleStore
    from mlopsfw.models.bundle.loaded import LoadedBundle
    from mlopsfw.models.calibration import Choice
    from mlopsfw.models.conformal import Answer, Conformal, Kind


class CalibrateParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[steps.calibrate]`.

    Args:
        kind: Of the intervals of a regression: `normalised`, `absolute`, or `cqr` for a model whose outputs have two quantiles. Of the sets of classes:
            `lac` (the smallest) or `aps`. By default `cqr` where it can be, else `normalised`; and `lac`.
        by: Groups that each get the promised coverage: `class`, or an input of the model.
        map: Whether probabilities may be calibrated: `auto` keeps the temperature or isotonic map that gains on rows that it
            was not fitted to, `none` leaves them as they are.
        group: The column whose rows depend on each other.
        weight: A column of weights: each row counts so many times, in the map, the intervals or sets, and the report.
        alpha: The share of rows that may be missed, for the coverage in the report.
        seed: Divides the rows.
    """

    kind: Literal["", "absolute", "normalised", "cqr", "lac", "aps"] = ""
    by: str = ""
    map: Literal["auto", "none"] = "auto"
    group: str = ""
    weight: str = ""
    alpha: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.1
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0


class _Rows(NamedTuple):
    """The calibration rows, with their labels, and what the model gets and answers."""

    bundle: LoadedBundle
    frame: pl.DataFrame
    labels: np.ndarray
    arrays: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]
    weight: np.ndarray | None

    def answer(self, by: str, at: np.ndarray | slice) -> Answer:
        from mlopsfw.models.bundle.calibrated import answer_of

        arrays, outputs = ({name: values[at] for name, values in each.items()} for each in (self.arrays, self.outputs))
        return answer_of(self.bundle.manifest, by, arrays, outputs)


def _run(params: CalibrateParams, context: StepContext, *, bundles: BundleStore) -> Mapping[str, Any]:
    from mlopsfw.models.bundle.calibrated import Calibration

    bundle = bundles.open(context.load("model", Path))
    rows, kind = _rows(params, bundle, context.load("rows")), _kind(params, bundle)
    calibration = Calibration(conformal=_learned(params, kind, rows, slice(None)))
    choice = _choice(params, rows)
    calibration = msgspec.structs.replace(calibration, map=choice.map)
    folder = context.scratch / "calibrated"
    bundles.recalibrate(folder, bundle, calibration, rows.frame)
    report = {
        "rows": len(rows.labels),
        "map": type(choice.map).__name__.lower() if choice.map else "none",
        "maps": choice.report,
        "conformal": {
            "kind": kind,
            "by": params.by,
            "groups": _groups(calibration.conformal, bundle),
        },
        "coverage": _coverage(params, kind, rows),
    }
    _tell(context, report)
    artifact = context.values.store(BundleFolder(folder), "model")
    meta = {**artifact.meta, "task": bundle.manifest.task, "target": bundle.manifest.target}
    return {"model": msgspec.structs.replace(artifact, meta=meta), "report": report}


def _groups(conformal: Conformal, bundle: LoadedBundle) -> dict[str, int]:
    """Return the number of scores of each group by its name; the empty name has all."""
    from mlopsfw.models.bundle.calibrated import class_names

    names = class_names(bundle.manifest) if conformal.by == "class" else {}
    return {names.get(group, group): len(scores) for group, scores in conformal.scores.items()}


def _rows(params: CalibrateParams, bundle: LoadedBundle, loaded: Any) -> _Rows:
    from mlopsfw.features.tables import table_arrays

    if bundle.calibration is not None:
        raise UsageError("the model is calibrated already", hint="Connect the model that train made.")
    if bundle.manifest.task not in ("binary", "multiclass", "regression"):
        raise UsageError(f"a model of the task {bundle.manifest.task!r} cannot be calibrated")
    frame, labels = rows_with_label(bundle, loaded, "calibration rows")
    if bundle.manifest.classes and len(set(labels.tolist())) == 1:
        only = bundle.manifest.classes[int(labels[0])]
        message = f"every calibration row has the label {only!r}: a calibrated model would hardly give another answer"
        raise DataError(message, hint="Calibrate on rows as the model will meet them.")
    arrays, outputs = table_arrays(frame, bundle.manifest.inputs), bundle.predict_table(frame)
    return _Rows(bundle, frame, labels, arrays, outputs, weights_of(frame, params.weight))


def _kind(params: CalibrateParams, bundle: LoadedBundle) -> Kind:
    if params.kind:
        return params.kind
    if bundle.manifest.task != "regression":
        return "lac"
    quantiles = [each for each in bundle.manifest.outputs if each.quantile is not None]
    return "cqr" if len(quantiles) == 2 else "normalised"  # noqa: PLR2004 - the lower and the upper


def _choice(params: CalibrateParams, rows: _Rows) -> Choice:
    from mlopsfw.models.calibration import Choice, choose

    clusters = _clusters(params, rows.frame)
    if params.map == "none" or not rows.bundle.manifest.classes:
        return Choice(None, {})
    main = rows.outputs[rows.bundle.manifest.outputs[0].name].astype(float)
    return choose(rows.labels, main, clusters, rows.weight, seed=params.seed)


def _clusters(params: CalibrateParams, frame: pl.DataFrame) -> np.ndarray:
    import numpy as np

    from mlopsfw.training.folds import codes_of

    if not params.group:
        return np.arange(frame.height)
    if params.group not in frame.columns:
        raise DataError(f"group: the rows have no column {params.group!r}", hint=nearest(params.group, frame.columns))
    return codes_of(frame[params.group])


def _learned(params: CalibrateParams, kind: Kind, rows: _Rows, at: np.ndarray | slice) -> Conformal:
    from mlopsfw.models.bundle.calibrated import check_by
    from mlopsfw.models.conformal import learn

    check_by(params.by, rows.bundle.manifest)
    weight = None if rows.weight is None else rows.weight[at]
    return learn(kind, rows.labels[at], rows.answer(params.by, at), by=params.by, weight=weight, seed=params.seed)


def _coverage(params: CalibrateParams, kind: Kind, rows: _Rows) -> dict[str, Any]:
    """Return how often intervals or sets of one half of the rows hold the truth of the other half, and how large they are."""
    import numpy as np

    from mlopsfw.models.conformal import covered

    draw = np.random.Generator(np.random.PCG64(params.seed)).permutation(len(rows.labels))
    learned, held_out = np.sort(draw[: len(draw) // 2]), np.sort(draw[len(draw) // 2 :])
    conformal = _learned(params, kind, rows, learned)
    hits, sizes = covered(conformal, rows.labels[held_out], rows.answer(params.by, held_out), params.alpha)
    weight = None if rows.weight is None else rows.weight[held_out]
    shares = {name: float(np.average(each, weights=weight)) for name, each in (("covered", hits), ("size", sizes))}
    return {"alpha": params.alpha, **shares, "rows": len(held_out)}


def _tell(context: StepContext, report: Mapping[str, Any]) -> None:
    for name, gain in report["maps"].items():
        loss, ece = gain["log_loss"], gain["ece"]
        ends = f"; gain {gain['low']:.4f} to {gain['high']:.4f}" if "low" in gain else ""
        context.log(
            f"{name}: log loss {loss['before']:.4f} to {loss['after']:.4f}{ends}, calibration error {ece['before']:.4f} to {ece['after']:.4f}"
        )
    coverage = report["coverage"]
    context.log(f"map: {report['map']}; {report['conformal']['kind']} of {report['conformal']['groups']['']:,} rows")
    context.log(
        f"{coverage['covered']:.1%} of {coverage['rows']:,} rows are covered at alpha {coverage['alpha']:g}; mean size {coverage['size']:.4g}"
    )
    context.log_metric("covered", coverage["covered"])
    context.log_metric("size", coverage["size"])


def build(params: CalibrateParams, _host: Host) -> Step:
    """Return the step with these options."""
    return Step(run=partial(_run, params), inputs=("model", "rows"), outputs=("model", "report"), version=3)


@hookimpl
def mlopsfw_steps() -> Iterable[Provider[Step]]:
    """Offer the step `calibrate`."""
    yield Provider(
        "calibrate", CalibrateParams, build, "Calibrate a model's probabilities, and give it intervals or sets"
    )
