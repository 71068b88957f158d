"""The root of the command line: global options and verbs. A verb is imported when it is called."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import click

from mlopsfw.cli.verbs import OPTIONS, VERBS, help_text
from mlopsfw.kernel.base import interrupts
from mlopsfw.kernel.base.errors import UnknownName
from mlopsfw.kernel.base.ids import nearest


class VerbGroup(click.Group):
    """Look verbs up in the table first, then in the entry points of plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the verbs in the order of use."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Import the verb's module. Raise `UnknownName` with the nearest verb if there is no such verb."""
        if cmd_name not in VERBS:
            return _plugin_command(cmd_name, ctx.params)
        module, _, attribute = VERBS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def get_help(self, ctx: click.Context) -> str:
        """Return the help page."""
        return help_text(ctx.params).rstrip()


def _plugin_command(name: str, options: Mapping[str, Any]) -> click.Command:
    from mlopsfw.cli.output import disabled_plugins, stdout_on_stderr
    from mlopsfw.kernel.plugins.catalog import Catalog
    from mlopsfw.kernel.plugins.manager import PluginManager

    manager = PluginManager(Catalog(disabled=disabled_plugins(options)))
    plugin_verbs = {claim.name for claim in manager.catalog.claims if claim.kind == "command"}
    if name not in plugin_verbs:
        raise UnknownName(f"there is no verb {name!r}", hint=nearest(name, {*VERBS, *plugin_verbs}))
    with stdout_on_stderr():  # what a plugin prints while it is imported is no result
        return manager.command(name)


def _help_of(option: str) -> str:
    return next(text for name, text in OPTIONS.items() if name.startswith(option))


@click.command(cls=VerbGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option(
    "--project", type=click.Path(path_type=Path), envvar="MLOPSFW_PROJECT", is_eager=True, help=_help_of("--project")
)
@click.option("--env", envvar="MLOPSFW_ENV", is_eager=True, help=_help_of("--env"))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", is_eager=True, help=_help_of("--set"))
@click.option("--traceback", is_flag=True, envvar="MLOPSFW_TRACEBACK", help=_help_of("--traceback"))
@click.version_option(package_name="mlopsfw", help=_help_of("--version"))
@click.pass_context
def cli(context: click.Context, /, **options: Any) -> None:
    """Machine learning in production."""
    context.obj = options


def invoke(args: list[str]) -> int:
    """Run one command line and return its exit code. Raise nothing."""
    counting = interrupts.install()
    try:
        return _invoked(args)
    finally:
        if counting:
            interrupts.uninstall()


def _raised_by_click(error: BaseException) -> bool:
    """Return whether click itself raised `error`. It does so only where the reader of a pipe is gone."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame is not None and frame.tb_frame.f_globals.get("__name__") == "click.core"


def _global_options() -> list[str]:
    from mlopsfw.cli.verbs import OPTIONS

    return [f"{option} " for option in OPTIONS]


def _invoked(args: list[str]) -> int:
    try:
        result = cli.main(args=args, prog_name="mlopsfw", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return 130
    except click.ClickException as error:
        from mlopsfw.privacy.credentials import redacted

        text = StringIO()
        error.show(file=text)  # a path that is a URL may hold a password
        if isinstance(error, click.NoSuchOption) and any(
            option.startswith(f"{error.option_name} ") for option in _global_options()
        ):
            text.write(f"{error.option_name} stands before the verb: mlopsfw {error.option_name} … VERB\n")
        click.echo(redacted(text.getvalue()), err=True, nl=False)
        return error.exit_code
    except BaseException as error:  # noqa: BLE001 - the last handler, also for a step's sys.exit()
        if isinstance(error, SystemExit) and _raised_by_click(error):
            return 1  # the reader of the pipe has gone, as with `| head`
        from mlopsfw.cli.failure import report

        return report(error, with_traceback="--traceback" in args)
    return result if isinstance(result, int) else 0
