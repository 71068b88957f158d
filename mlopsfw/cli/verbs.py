"""The table of verbs and global options, and the page that `mlopsfw --help` prints. Imports next to nothing."""

from __future__ import annotations

VERBS: dict[str, tuple[str, str]] = {
    "init": ("mlopsfw.cli.init:init", "Start a project in this folder"),
    "run": ("mlopsfw.cli.pipeline:run", "Run the pipeline; what has not changed is not run again"),
    "resume": ("mlopsfw.cli.pipeline:resume", "Go on with a failed or interrupted run"),
    "status": ("mlopsfw.cli.pipeline:status", "Show the steps and what state they are in"),
    "why": ("mlopsfw.cli.pipeline:why", "Say why a step would run, or why it need not"),
    "runs": ("mlopsfw.cli.runs:runs", "List, show and compare runs"),
    "data": ("mlopsfw.cli.data:data", "Add, list, compare and restore dataset versions"),
    "models": ("mlopsfw.cli.models:models", "List, show, promote, approve, roll back and verify models"),
    "lineage": ("mlopsfw.cli.lineage:lineage", "Walk from a model, run or dataset to what it came from and led to"),
    "deploy": ("mlopsfw.cli.serving:deploy", "Serve a model version at an endpoint"),
    "endpoints": ("mlopsfw.cli.serving:endpoints", "List, show, stop and roll back endpoints"),
    "serve": ("mlopsfw.cli.serving:serve", "Serve a model in the foreground"),
    "predict": ("mlopsfw.cli.serving:predict", "Score a file with a model"),
    "labels": ("mlopsfw.cli.labels:labels", "Add the labels that arrive after predictions"),
    "monitor": ("mlopsfw.cli.monitor:monitor", "Examine captured predictions for drift and decay"),
    "drift": ("mlopsfw.cli.drift:drift", "Compare two files of rows, column by column"),
    "alerts": ("mlopsfw.cli.alerts:alerts", "List, acknowledge and silence alerts"),
    "plugins": ("mlopsfw.cli.plugins:plugins", "List plugins and say what is wrong with them"),
    "schema": ("mlopsfw.cli.schema:schema", "Print the JSON Schema of mlopsfw.toml, for editors"),
    "doctor": ("mlopsfw.cli.store:doctor", "Check the project, its storage and this machine"),
    "audit": ("mlopsfw.cli.store:audit", "Verify and show the ledger"),
    "gc": ("mlopsfw.cli.store:gc", "Delete blobs that nothing refers to"),
    "index": ("mlopsfw.cli.store:index", "Rebuild the derived index"),
    "storage": ("mlopsfw.cli.storage:storage", "Rotate the key of encrypted blobs"),
    "export": ("mlopsfw.cli.store:export", "Copy the whole project to a folder or bucket"),
    "import": ("mlopsfw.cli.store:import_", "Copy a whole project in from a folder or bucket"),
}
"""Verb → where its click command is, and what it is for."""

OPTIONS: dict[str, str] = {
    "--project PATH": "The project's folder or its mlopsfw.toml; else the nearest one at or above this folder.",
    "--env NAME": "Lay [env.NAME] of mlopsfw.toml over the rest.",
    "--set KEY=VALUE": "Override one key, such as trainer.torch.epochs=3. May be repeated.",
    "--traceback": "Show the traceback of an error.",
    "--version": "Show the version.",
    "-h, --help": "Show this page, or a verb's.",
}
"""Global options as they are written, and what each does."""


def help_text() -> str:
    """Return the page: verbs, verbs of plugins (read from metadata), global options."""
    lines = [
        "Usage: mlopsfw [OPTIONS] VERB …",
        "",
        "Machine learning in production: data, training, serving, drift, alarms, retraining.",
        "",
    ]
    lines += ["Verbs:", *_columns({name: summary for name, (_, summary) in VERBS.items()}), ""]
    if added := _of_plugins():
        lines += ["Verbs of plugins:", *_columns(added), ""]
    lines += ["Options:", *_columns(OPTIONS), "", "`mlopsfw VERB --help` says more. Start with `mlopsfw init`."]
    return "\n".join(lines) + "\n"


def _columns(rows: dict[str, str]) -> list[str]:
    width = max(map(len, rows)) + 2
    return [f"  {name:<{width}}{text}" for name, text in rows.items()]


def _of_plugins() -> dict[str, str]:
    from mlopsfw.kernel.plugins.catalog import Catalog

    return {c.name: f"{c.distribution} {c.version}" for c in Catalog().of("command")}
