"""The root of the command line: global options, and verbs that are imported when they are called."""

from __future__ import annotations

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
    """Verbs by table, then verbs of plugins by entry point."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the verbs in the order of use."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:  # noqa: ARG002 - click's signature
        """Import the verb's module. Raise `UnknownName` with the nearest verb."""
        if cmd_name not in VERBS:
            return _plugin_command(cmd_name)
        module, _, attribute = VERBS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def get_help(self, ctx: click.Context) -> str:  # noqa: ARG002 - click's signature
        """Return the one page there is."""
        return help_text().rstrip()


def _plugin_command(name: str) -> click.Command:
    from mlopsfw.kernel.plugins.manager import PluginManager

    manager = PluginManager()
    known = {claim.name for claim in manager.catalog.claims if claim.kind == "command"}
    if name not in known:
        raise UnknownName(f"there is no verb {name!r}", hint=nearest(name, {*VERBS, *known}))
    return manager.command(name)


def _about(option: str) -> str:
    return next(text for name, text in OPTIONS.items() if name.startswith(option))


@click.command(cls=VerbGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--project", type=click.Path(path_type=Path), envvar="MLOPSFW_PROJECT", help=_about("--project"))
@click.option("--env", envvar="MLOPSFW_ENV", help=_about("--env"))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help=_about("--set"))
@click.option("--traceback", is_flag=True, envvar="MLOPSFW_TRACEBACK", help=_about("--traceback"))
@click.version_option(package_name="mlopsfw", help=_about("--version"))
@click.pass_context
def cli(context: click.Context, /, **options: Any) -> None:
    """Machine learning in production."""
    context.obj = options


def invoke(args: list[str]) -> int:
    """Run one command line; return its exit code. Nothing is raised."""
    counting = interrupts.install()
    try:
        return _invoked(args)
    finally:
        if counting:
            interrupts.uninstall()


def _raised_by_click(error: BaseException) -> bool:
    """Return whether click itself raised it: it ends so where a pipe's reader is gone, and at nothing else."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame is not None and frame.tb_frame.f_globals.get("__name__") == "click.core"


def _invoked(args: list[str]) -> int:
    try:
        result = cli.main(args=args, prog_name="mlopsfw", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return 130
    except click.ClickException as error:
        from mlopsfw.kernel.config.secrets import redacted

        text = StringIO()
        error.show(file=text)  # a path that is a URL may hold a password
        click.echo(redacted(text.getvalue()), err=True, nl=False)
        return error.exit_code
    except BaseException as error:  # noqa: BLE001 - the last place where an error can be told kindly; a step's sys.exit() too
        if isinstance(error, SystemExit) and _raised_by_click(error):
            return 1  # nobody reads the output any more, as before `| head`
        from mlopsfw.cli.failure import report

        return report(error, with_traceback="--traceback" in args)
    return result if isinstance(result, int) else 0
