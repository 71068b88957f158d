"""The command line. A verb's module is imported when the verb is called; `--help` imports click and this file alone."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

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
    "alerts": ("mlopsfw.cli.alerts:alerts", "List, acknowledge and silence alerts"),
    "plugins": ("mlopsfw.cli.plugins:plugins", "List plugins and say what is wrong with them"),
    "schema": ("mlopsfw.cli.schema:schema", "Print the JSON Schema of mlopsfw.toml, for editors"),
    "doctor": ("mlopsfw.cli.store:doctor", "Check the project, its storage and this machine"),
    "audit": ("mlopsfw.cli.store:audit", "Verify and show the ledger"),
    "gc": ("mlopsfw.cli.store:gc", "Delete blobs that nothing refers to"),
    "index": ("mlopsfw.cli.store:index", "Rebuild the derived index"),
    "export": ("mlopsfw.cli.store:export", "Copy the whole project to a folder or bucket"),
    "import": ("mlopsfw.cli.store:import_", "Copy a whole project in from a folder or bucket"),
}


class LazyGroup(click.Group):
    """Verbs by table, then verbs of plugins by entry point; each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the verbs in the order of use."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the verb's module; for an unknown verb ask the plugins."""
        if cmd_name in VERBS:
            module, _, attribute = VERBS[cmd_name][0].partition(":")
            command: click.Command = getattr(import_module(module), attribute)
            return command
        return _plugin_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table without importing any verb; plugins' verbs are read from metadata."""
        rows = [(name, summary) for name, (_, summary) in VERBS.items()]
        with formatter.section("Verbs"):
            formatter.write_dl(rows)
        if added := _plugin_verbs():
            with formatter.section("Verbs of plugins"):
                formatter.write_dl(added)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; an unknown one is answered with the nearest."""
        if args and self.get_command(ctx, args[0]) is None:
            from mlopsfw.errors import UnknownName
            from mlopsfw.ids import nearest

            raise UnknownName(f"there is no verb {args[0]!r}", hint=nearest(args[0], VERBS))
        return super().resolve_command(ctx, args)


def _plugin_verbs() -> list[tuple[str, str]]:
    from mlopsfw.plugins.catalog import Catalog

    return [(c.name, f"{c.distribution} {c.version}") for c in Catalog().of("command")]


def _plugin_command(ctx: click.Context, name: str) -> click.Command | None:
    from mlopsfw.plugins import Catalog, PluginManager

    if not any(c.name == name for c in Catalog().claims if c.kind == "command"):
        return None
    del ctx
    return PluginManager().command(name)


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option(
    "--project", type=click.Path(path_type=Path), envvar="MLOPSFW_PROJECT", help="The project's folder or mlopsfw.toml."
)
@click.option("--env", envvar="MLOPSFW_ENV", help="Lay [env.NAME] of mlopsfw.toml over the rest.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one key, such as trainer.torch.epochs=3."
)
@click.option("--traceback", is_flag=True, envvar="MLOPSFW_TRACEBACK", help="Show tracebacks of errors.")
@click.version_option(package_name="mlopsfw")
@click.pass_context
def cli(context: click.Context, **options: Any) -> None:
    """Machine learning in production: data, training, serving, drift, alarms, retraining."""
    context.obj = options


def main() -> None:
    """Run the command line; print errors as one line with what to do next, and exit with their code."""
    sys.exit(run(sys.argv[1:]))


def run(args: list[str]) -> int:
    """Run one command line in this process; return the exit code."""
    try:
        result = cli.main(args=args, prog_name="mlopsfw", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("Interrupted.", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the last place where an error can be told kindly
        from mlopsfw.cli.failure import report

        return report(error, with_traceback="--traceback" in args)
    return result if isinstance(result, int) else 0
