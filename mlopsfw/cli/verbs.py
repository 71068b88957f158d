"""The table of verbs and global options, and the page of `mlopsfw --help`. Imports almost nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VERBS: dict[str, tuple[str, str]] = {
    "init": ("mlopsfw.cli.init:init", "Start a project in this folder"),
    "run": ("mlopsfw.cli.pipeline:run", "Run the steps of the pipeline that have changed"),
    "resume": ("mlopsfw.cli.pipeline:resume", "Continue a failed or interrupted run"),
    "status": ("mlopsfw.cli.pipeline:status", "Show the steps and their states"),
    "why": ("mlopsfw.cli.pipeline:why", "Say why a step would run again, or why not"),
    "runs": ("mlopsfw.cli.runs:runs", "List, show and compare runs"),
    "reproduce": ("mlopsfw.cli.reproduce:reproduce", "Run an earlier run again, as it was, and compare the results"),
    "data": ("mlopsfw.cli.data:data", "Add, list, compare and restore dataset versions"),
    "models": ("mlopsfw.cli.models:models", "List, show, import, promote, approve, roll back and verify models"),
    "lineage": ("mlopsfw.cli.lineage:lineage", "Show the origin and the descendants of a model, run or dataset"),
    "deploy": ("mlopsfw.cli.serving:deploy", "Serve a model version at an endpoint"),
    "endpoints": ("mlopsfw.cli.serving:endpoints", "List, show, stop and roll back endpoints"),
    "serve": ("mlopsfw.cli.serving:serve", "Serve a model in the foreground"),
    "predict": ("mlopsfw.cli.serving:predict", "Score a file with a model"),
    "labels": ("mlopsfw.cli.labels:labels", "Add the true outcomes of predictions, and show them"),
    "monitor": ("mlopsfw.cli.monitor:monitor", "Examine captured predictions for drift and worse metrics"),
    "drift": ("mlopsfw.cli.drift:drift", "Compare two files of rows, column by column"),
    "alerts": ("mlopsfw.cli.alerts:alerts", "List, acknowledge and silence alerts"),
    "plugins": ("mlopsfw.cli.plugins:plugins", "List, write, check and disable plugins"),
    "schema": ("mlopsfw.cli.schema:schema", "Print the JSON Schema of mlopsfw.toml, for editors"),
    "doctor": ("mlopsfw.cli.store:doctor", "Check the project, its storage and this machine"),
    "audit": ("mlopsfw.cli.audit:audit", "Verify and show the ledger; list, rename and forget actors"),
    "gc": ("mlopsfw.cli.store:gc", "Delete unreferenced blobs"),
    "index": ("mlopsfw.cli.store:index", "Rebuild and query the index"),
    "storage": ("mlopsfw.cli.storage:storage", "Rotate the key of encrypted blobs"),
    "export": ("mlopsfw.cli.store:export", "Copy the project to a folder or bucket"),
    "import": ("mlopsfw.cli.store:import_", "Copy a project, or runs and models of MLflow, into this one"),
}
"""Maps each verb to the import path of its click command and to its summary."""

OPTIONS: dict[str, str] = {
    "--project PATH": "The project's folder or mlopsfw.toml. By default the nearest one, from this folder upwards.",
    "--env NAME": "Let the keys of [env.NAME] override the rest of mlopsfw.toml.",
    "--set KEY=VALUE": "Override one key, such as trainer.torch.epochs=3. May be repeated.",
    "--traceback": "Show the traceback of an error.",
    "--version": "Show the version.",
    "-h, --help": "Show this page, or the page of a verb.",
}
"""Maps each global option to its help text."""


def help_text(options: Mapping[str, Any]) -> str:
    """Return the help page: verbs, verbs of plugins (from metadata), global options.

    Args:
        options: The global options that stand before `--help`: which project says what is disabled.
    """
    lines = [
        "Usage: mlopsfw [OPTIONS] VERB …",
        "",
        "Machine learning in production: data, training, serving, drift, alarms, retraining.",
        "",
    ]
    lines += ["Verbs:", *_columns({name: summary for name, (_, summary) in VERBS.items()}), ""]
    if plugin_verbs := _plugin_verbs(options):
        lines += ["Verbs of plugins:", *_columns(plugin_verbs), ""]
    lines += ["Options:", *_columns(OPTIONS), "", "Run `mlopsfw VERB --help` for more. Start with `mlopsfw init`."]
    return "\n".join(lines) + "\n"


def _columns(rows: dict[str, str]) -> list[str]:
    width = max(map(len, rows)) + 2
    return [f"  {name:<{width}}{text}" for name, text in rows.items()]


def _plugin_verbs(options: Mapping[str, Any]) -> dict[str, str]:
    from mlopsfw.kernel.plugins.catalog import Catalog

    verbs = {c.name: f"{c.distribution} {c.version}" for c in Catalog().of("command") if c.name not in VERBS}
    if not verbs:
        return {}  # then no configuration is read either
    from mlopsfw.cli.output import disabled_plugins
    from mlopsfw.kernel.base.errors import MlopsfwError

    try:
        allowed = Catalog(disabled=disabled_plugins(options)).of("command")
    except MlopsfwError:
        return verbs  # the page is shown all the same
    return {name: text for name, text in verbs.items() if name in {claim.name for claim in allowed}}
