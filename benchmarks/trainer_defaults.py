"""How good the torch trainer is as it comes: small real tables, beside a linear model and HistGradientBoosting, as Markdown.

Run: pip download --no-deps --dest DIR islp==0.6.0 palmerpenguins==0.1.6
     python benchmarks/trainer_defaults.py DIR [epochs=10 batch_size=1024 patience=3 …]

The CSV files are read out of the wheels; nothing of them is installed or imported. Five random splits of each table (60% train,
20% validation, 20% test; classes stratified) give the mean of the test metric. Ours learns from `train` and stops by `validation`; the peers,
which need no validation rows, learn from both. Settings after DIR are options of `[trainer.torch]`; without any it is as it comes.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from machine import machine_line
from sklearn import datasets, ensemble, linear_model, model_selection, preprocessing
from sklearn.pipeline import make_pipeline

from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.evaluation import class_codes, evaluate
from mlopsfw.kernel.config import ProjectConfig
from mlopsfw.kernel.roles.training import Task, TrainingTask
from mlopsfw.models import bundle
from mlopsfw.project.facade import Project
from mlopsfw.testing.trainer import OUTPUTS, Context
from mlopsfw_trainer_torch import TorchConfig
from mlopsfw_trainer_torch.trainer import TorchTrainer

SPLITS = 5


@dataclass(frozen=True)
class Case:
    """One table: what is learned from it, and the metric that is shown."""

    name: str
    task: Task
    target: str
    metric: str
    exclude: tuple[str, ...] = ()


CASES = (
    Case("Default", "binary", "default", "auc"),
    Case("OJ", "binary", "Purchase", "auc"),
    Case("Caravan", "binary", "Purchase", "auc"),
    Case("breast_cancer", "binary", "target", "auc"),
    Case("penguins", "multiclass", "species", "accuracy"),
    Case("digits", "multiclass", "target", "accuracy"),
    Case("Bikeshare", "regression", "bikers", "rmse", ("casual", "registered")),
    Case("Carseats", "regression", "Sales", "rmse"),
    Case("Hitters", "regression", "Salary", "rmse"),
    Case("Wage", "regression", "wage", "rmse", ("logwage", "region")),
)


def table(case: Case, wheels: Path) -> pl.DataFrame:
    """Return a case's rows that have a label."""
    if case.name in {"breast_cancer", "digits"}:
        found = getattr(datasets, f"load_{case.name}")()
        names = [str(name).replace(" ", "_") for name in found.feature_names]
        return pl.DataFrame(found.data, schema=names).with_columns(target=pl.Series(found.target))
    wheel, file = ("islp", f"ISLP/data/{case.name}.csv")
    if case.name == "penguins":
        wheel, file = ("palmerpenguins", "palmerpenguins/data/penguins.csv")
    with zipfile.ZipFile(next(wheels.glob(f"{wheel}-*.whl"))) as archive:
        rows = pl.read_csv(io.BytesIO(archive.read(file)), null_values=["NA", ""], infer_schema_length=None)
    return rows.drop_nulls(case.target)


def split(case: Case, rows: pl.DataFrame, seed: int) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return train, validation and test rows."""

    def apart(at: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
        labels = None if case.task == "regression" else rows[case.target].to_numpy()[at]
        kept, held = model_selection.train_test_split(at, test_size=share, random_state=seed, stratify=labels)
        return np.sort(kept), np.sort(held)

    rest, test = apart(np.arange(rows.height), 0.2)
    train, valid = apart(rest, 0.25)
    return rows[train], rows[valid], rows[test]


def ours(
    case: Case, config: TorchConfig, train: pl.DataFrame, valid: pl.DataFrame, test: pl.DataFrame
) -> tuple[Any, ...]:
    """Train, bundle, open and ask; return the outputs for `test`, the classes, and the facts."""
    task = TrainingTask(task=case.task, target=case.target, exclude=case.exclude)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        context = Context.under(folder, "fit")
        trained = TorchTrainer(config).fit(task, TableHandle.of(train), TableHandle.of(valid), context)
        (folder / "project").mkdir()
        with Project(folder / "project", ProjectConfig(name="bench")) as project:
            runtimes = {"onnx": project.providers.runtime("onnx")}
            bundle.write(folder / "bundle", trained, task, TableHandle.of(train), runtimes)
            opened = bundle.open_bundle(folder / "bundle", runtimes.__getitem__)
            return opened.predict_table(test)[OUTPUTS[case.task]], trained.classes, trained.facts


def design(case: Case, fitted_on: pl.DataFrame, rows: pl.DataFrame, *, codes: bool) -> np.ndarray:
    """Return features for scikit-learn: numbers with the median for nulls; categories one by one, or as codes."""
    blocks = []
    for name in fitted_on.columns:
        if name in {case.target, *case.exclude}:
            continue
        seen = fitted_on[name]
        if seen.dtype.is_numeric():
            blocks.append(
                rows[name].cast(float).fill_null(float("nan") if codes else seen.median()).to_numpy()[:, None]
            )
            continue
        known = seen.cast(pl.String).fill_null("null").unique().sort().to_list()
        values = rows[name].cast(pl.String).fill_null("null").to_numpy()[:, None]
        hot = values == np.array(known)[None, :]
        blocks.append(hot.argmax(axis=1)[:, None].astype(float) if codes else hot.astype(float))
    return np.concatenate(blocks, axis=1)


def peer(case: Case, kind: str, train: pl.DataFrame, test: pl.DataFrame, classes: tuple[Any, ...]) -> np.ndarray:
    """Return what a model of scikit-learn, as it comes, says of `test`."""
    boosted = kind == "boosted"
    x, asked = (design(case, train, rows, codes=boosted) for rows in (train, test))
    if case.task == "regression":
        linear: Any = linear_model.Ridge()
        model: Any = ensemble.HistGradientBoostingRegressor(random_state=0) if boosted else linear
        y = train[case.target].cast(float).to_numpy()
    else:
        linear = linear_model.LogisticRegression(max_iter=5000)
        model = ensemble.HistGradientBoostingClassifier(random_state=0) if boosted else linear
        y = class_codes(train[case.target], classes)
    if not boosted:
        model = make_pipeline(preprocessing.StandardScaler(), model)
    model.fit(x, y)
    if case.task == "regression":
        return np.asarray(model.predict(asked))
    told = np.asarray(model.predict_proba(asked))
    return told[:, 1] if case.task == "binary" else told


def score(case: Case, test: pl.DataFrame, outputs: np.ndarray, classes: tuple[Any, ...]) -> float:
    """Return the case's metric on the test rows."""
    truth = test[case.target]
    labels = truth.cast(float).to_numpy() if case.task == "regression" else class_codes(truth, classes)
    return evaluate(case.task, labels, outputs)[case.metric]


def measure(case: Case, config: TorchConfig, wheels: Path, peers: Callable[..., dict[str, float]]) -> dict[str, float]:
    """Return the mean test metric of each model, and what ours took, over all splits."""
    rows, found = table(case, wheels), []
    for seed in range(SPLITS):
        train, valid, test = split(case, rows, seed)
        began = time.perf_counter()
        outputs, classes, facts = ours(case, config, train, valid, test)
        took = time.perf_counter() - began
        told = {"ours": score(case, test, outputs, classes), "seconds": took, "steps": facts["steps"]}
        found.append({**told, **peers(case, pl.concat([train, valid]), test, classes)})
    return {name: float(np.mean([each[name] for each in found])) for name in found[0]}


def both_peers(case: Case, train: pl.DataFrame, test: pl.DataFrame, classes: tuple[Any, ...]) -> dict[str, float]:
    """Return the metric of the linear and of the boosted model."""
    return {kind: score(case, test, peer(case, kind, train, test, classes), classes) for kind in ("linear", "boosted")}


def main(wheels: Path, settings: list[str]) -> None:
    """Print one row a table."""
    print(f"<!-- {machine_line()} -->")
    wanted = dict(setting.split("=", 1) for setting in settings)
    config = msgspec.convert(wanted, TorchConfig, strict=False)
    print(
        "| table | rows | metric | torch | linear | HistGradientBoosting | steps | seconds |\n|---|---|---|---|---|---|---|---|"
    )
    for case in CASES:
        found = measure(case, config, wheels, both_peers)
        told = " | ".join(f"{found[name]:.4g}" for name in ("ours", "linear", "boosted"))
        rows = table(case, wheels).height
        print(
            f"| {case.name} | {rows:,} | {case.metric} | {told} | {found['steps']:,.0f} | {found['seconds']:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
