"""`init`: write a commented mlopsfw.toml and a small example that runs, with its data."""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from mlopsfw.cli.output_file import write_file
from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.base.ids import check_name

_TOML = """\
# This file describes the whole project: where mlopsfw keeps things, and the steps from raw data to a result.
# `mlopsfw run --set steps.split.params.seed=8` overrides one key for one run. `mlopsfw schema` has the meaning of every key:
# run `mlopsfw schema > mlopsfw.schema.json`, and make `#:schema ./mlopsfw.schema.json` the first line of this file. An editor
# with Taplo (VS Code: Even Better TOML) then completes keys and marks mistakes.

[project]
name = "{name}"
{definition}# code = ["src"]                # folders that hold your Python modules; by default this one

# [storage.object]              # the place of data, models and the ledger; by default this folder
# url = "s3://bucket/prefix"

# [engine.local]                # the engine that runs the steps
# workers = 4

# A step is a Python function of yours. mlopsfw passes it values by parameter name: `inputs` names the results of other
# steps, `params` gives constants. A step runs again only if its code, the code that it calls, or its inputs changed.
# `mlopsfw why fit` says what changed.

[steps.load]
python = "steps:load"
reads = ["data/houses.csv"]     # files that the step opens itself; it runs again when they change
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

# What a model must reach, by when. The gate refuses one that misses it, and the model card shows it.
{objective}
# Built-in steps train, evaluate and register models. [trainer] use = "torch" selects the trainer:
#
# [steps.model]
# use = "train"
# task = "regression"
# target = "price"
# inputs = {{ train = "split.train", valid = "split.test" }}

# [env.prod]                    # `mlopsfw --env prod run` uses these keys in place of those above
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
    size = round(len(shuffled) * share)
    return shuffled[size:], shuffled[:size]


def fit(train: pl.DataFrame) -> dict[str, float]:
    """Fit price = intercept + slope * area by least squares."""
    slope = train.select(pl.cov("area", "price") / pl.var("area")).item()
    return {"slope": slope, "intercept": train["price"].mean() - slope * train["area"].mean()}


def report(model: dict[str, float], test: pl.DataFrame) -> dict[str, float]:
    """Measure the error on the test rows."""
    error = (test["area"] * model["slope"] + model["intercept"] - test["price"]).abs().mean()
    mlopsfw.log_metric("mean_absolute_error", error)
    return {"mean_absolute_error": error, "rows": len(test)}
'''

_LATER = {
    "purpose": '# purpose = "Help buyers to judge an offer"    # what the models are for; the model card shows this and the next three\n',
    "owner": '# owner = "the pricing team"    # who answers for them\n',
    "stakeholders": '# stakeholders = ["buyers"]    # who is affected by them\n',
    "out_of_scope": '# out_of_scope = ["appraisals for a bank"]    # what they must not be used for\n',
}
_OBJECTIVE = """\
# [[objective]]
# metric = "rmse"
# target = "<= 20000"
# by = "2027-01-01"
"""

_QUESTIONS = {
    "purpose": "What are its models for?",
    "owner": "Who answers for them?",
    "stakeholders": "Who is affected by them? (separated by commas)",
    "out_of_scope": "What must they not be used for? (separated by commas)",
    "objective": "What must a model reach, such as auc >= 0.7?",
}
_LISTS = ("stakeholders", "out_of_scope")

_IGNORED = ".mlopsfw/\n__pycache__/\n"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option("--name", default="", help="The project's name. By default the folder's name.")
@click.option("--purpose", default=None, help="What its models are for. Asked for in a terminal, as the next four are.")
@click.option("--owner", default=None, help="Who answers for them.")
@click.option("--stakeholders", default=None, help="Who is affected by them, separated by commas.")
@click.option("--out-of-scope", default=None, help="What they must not be used for, separated by commas.")
@click.option("--objective", default=None, help='What a model must reach, such as "auc >= 0.7".')
def init(folder: Path, name: str, **given: str | None) -> None:
    """Start a project in FOLDER (default: this folder) with a commented mlopsfw.toml and a small example that runs."""
    if name:
        check_name(name, "project name")  # before anything is asked
    _objective(given["objective"] or "")
    files = example(folder, name, {key: _asked(given[key], question) for key, question in _QUESTIONS.items()})
    existing = [file for file in files if file.exists()]
    if existing:
        raise UsageError(f"{existing[0]} exists", hint="Nothing was written. Choose an empty folder.")
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, text)
    if not (folder / ".gitignore").exists():
        write_file(folder / ".gitignore", _IGNORED)
    click.echo(f"Wrote {', '.join(str(file.relative_to(folder)) for file in files)}.")
    change_folder = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
    click.echo(f"Next: {change_folder}mlopsfw run")


def _asked(answer: str | None, question: str) -> str:
    """Return the answer of the command line, or that of the person at the terminal."""
    if answer is not None or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return answer or ""
    return str(click.prompt(f"{question} (Enter: later)", default="", show_default=False, err=True))


def _objective(text: str) -> str:
    """Return `auc >= 0.7` as a table of the file; the commented example for nothing. Raise `UsageError` for anything else."""
    if not text:
        return _OBJECTIVE
    from mlopsfw.kernel.config.model import Objective
    from mlopsfw.models.objectives import rule_of

    parts = re.fullmatch(r"\s*([\w.*]+)\s*([<>]=?\s*[-+.\de]+)\s*", text)
    try:
        bounds = bool(parts and rule_of(Objective(metric=parts[1], target=parts[2])).left[0].name)
    except UsageError:  # a number such as 7e, or a bound of the champion
        bounds = False
    if not parts or not bounds:
        raise UsageError(f"the objective {text!r} is no metric with a bound", hint='Write, for instance, "auc >= 0.7".')
    return f'[[objective]]\nmetric = "{parts[1]}"\ntarget = "{parts[2]}"\n'


def example(folder: Path, name: str = "", definition: Mapping[str, str] | None = None) -> dict[Path, str]:
    """Return the example's files with their content. Raise `UsageError` if `name` is no valid project name."""
    project = check_name(name, "project name") if name else _name_of(folder)
    given = {key: text for key, text in (definition or {}).items() if text}
    # A string of JSON is one of TOML.
    objective = _objective(given.pop("objective", ""))
    values = {key: _list(text) if key in _LISTS else text for key, text in given.items()}
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items()]
    lines += [line for key, line in _LATER.items() if key not in given]
    return {
        folder / "mlopsfw.toml": _TOML.format(name=project, definition="".join(lines), objective=objective),
        folder / "steps.py": _STEPS,
        folder / "data" / "houses.csv": _houses(),
    }


def _list(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _name_of(folder: Path) -> str:
    letters = folder.resolve().name.lower()
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in letters).strip("._-")
    return name or "project"


def _houses() -> str:
    """Return 200 invented houses, the same at each call."""
    draw = random.Random(2013)  # noqa: S311 - an example, not a secret
    rows = ["area,rooms,price"]
    for _ in range(200):
        area = round(draw.uniform(35, 240), 1)
        rows.append(f"{area},{max(1, round(area / 30))},{round(25_000 + 2_350 * area + draw.gauss(0, 18_000))}")
    return "\n".join(rows) + "\n"
