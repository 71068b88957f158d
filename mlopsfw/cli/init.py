"""`init`: a commented mlopsfw.toml and a small example with its data, which runs as it is."""

from __future__ import annotations

import random
from pathlib import Path

import click

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.base.ids import check_name

_TOML = """\
# The whole project: where things are kept, and the steps from raw data to a result.
# Every key is explained by `mlopsfw schema`; `mlopsfw run --set steps.split.params.seed=8` overrides one for one run.

[project]
name = "{name}"
# code = ["src"]                # folders with your Python modules; this one by default

# [storage.object]              # where data, models and the ledger lie; this folder by default
# url = "s3://bucket/prefix"

# [engine.local]                # where steps run
# workers = 4

# A step is a function of yours, called with values by parameter name. What it takes from other steps stands under
# `inputs`, everything else under `params`. It runs again only if its code, or anything that it reaches, or its inputs changed:
# ask `mlopsfw why fit`.

[steps.load]
python = "steps:load"
reads = ["data/houses.csv"]     # files that a step opens by itself: their content counts
params = {{ path = "data/houses.csv" }}

[steps.split]
python = "steps:split"
inputs = {{ rows = "load" }}
params = {{ share = 0.25, seed = 7 }}
outputs = ["train", "test"]

[steps.fit]
python = "steps:fit"
inputs = {{ train = "split.train" }}

[steps.report]
python = "steps:report"
inputs = {{ model = "fit", test = "split.test" }}

# Built-in steps take a model the rest of the way; [trainer] use = "torch" selects what trains:
#
# [steps.model]
# use = "train"
# task = "regression"
# target = "price"
# inputs = {{ train = "split.train", valid = "split.test" }}

# [env.prod]                    # `mlopsfw --env prod run` lays this over the rest
# [env.prod.storage.object]
# url = "s3://bucket/prod"
"""

_STEPS = '''\
"""The steps of the example: house prices by area, fitted with a straight line."""

from __future__ import annotations

import polars as pl

import mlopsfw


def load(path: str) -> pl.DataFrame:
    """Read the raw rows."""
    return pl.read_csv(path)


def split(rows: pl.DataFrame, share: float, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Keep a share of the rows for testing."""
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=seed)
    held = round(len(shuffled) * share)
    return shuffled[held:], shuffled[:held]


def fit(train: pl.DataFrame) -> dict[str, float]:
    """Fit price = intercept + slope * area by least squares."""
    slope = train.select(pl.cov("area", "price") / pl.var("area")).item()
    return {"slope": slope, "intercept": train["price"].mean() - slope * train["area"].mean()}


def report(model: dict[str, float], test: pl.DataFrame) -> dict[str, float]:
    """Measure the fit on rows that it has not seen."""
    off = (test["area"] * model["slope"] + model["intercept"] - test["price"]).abs().mean()
    mlopsfw.log_metric("mean_absolute_error", off)
    return {"mean_absolute_error": off, "rows": len(test)}
'''

_IGNORED = ".mlopsfw/\n__pycache__/\n"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option("--name", default="", help="The project's name; by default as the folder is called.")
def init(folder: Path, name: str) -> None:
    """Start a project in FOLDER (this one): a commented mlopsfw.toml and a small example that runs."""
    files = example(folder, name)
    taken = [file for file in files if file.exists()]
    if taken:
        raise UsageError(f"{taken[0]} exists", hint="Choose an empty folder; nothing was written.")
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    if not (folder / ".gitignore").exists():
        (folder / ".gitignore").write_text(_IGNORED, encoding="utf-8")
    click.echo(f"Wrote {', '.join(str(file.relative_to(folder)) for file in files)}.")
    there = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
    click.echo(f"Next: {there}mlopsfw run")


def example(folder: Path, name: str = "") -> dict[Path, str]:
    """Return the example's files and what is in them. Raise `UsageError` where `name` cannot be used."""
    chosen = check_name(name, "project name") if name else _name_of(folder)
    return {
        folder / "mlopsfw.toml": _TOML.format(name=chosen),
        folder / "steps.py": _STEPS,
        folder / "data" / "houses.csv": _houses(),
    }


def _name_of(folder: Path) -> str:
    wanted = folder.resolve().name.lower()
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in wanted).strip("._-")
    return plain or "project"


def _houses() -> str:
    """Return 200 made-up houses, the same ones every time."""
    draw = random.Random(2013)  # noqa: S311 - an example, not a secret
    rows = ["area,rooms,price"]
    for _ in range(200):
        area = round(draw.uniform(35, 240), 1)
        rows.append(f"{area},{max(1, round(area / 30))},{round(25_000 + 2_350 * area + draw.gauss(0, 18_000))}")
    return "\n".join(rows) + "\n"
