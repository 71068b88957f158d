"""`mlopsfw plugins`: list what is installed, disable plugins, write and check packages of new ones."""

from __future__ import annotations

import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from mlopsfw.cli.output import disabled_plugins, emit_json, json_option, open_project, printable, table
from mlopsfw.cli.output_file import write_file
from mlopsfw.cli.plugin_new import roles, write_package
from mlopsfw.cli.verbs import VERBS
from mlopsfw.kernel.base.errors import MlopsfwError, PluginError, text_of
from mlopsfw.kernel.plugins.blame import blame_of
from mlopsfw.kernel.plugins.catalog import Catalog, Claim, api_accepted
from mlopsfw.kernel.plugins.manager import PluginManager
from mlopsfw.kernel.roles.names import KINDS


@click.group()
def plugins() -> None:
    """List, write, check and disable plugins."""


def _catalog(context: click.Context) -> Catalog:
    options = context.find_root().params
    try:
        return open_project(context).plugins.catalog
    except MlopsfwError:
        pass  # no project, or a faulty configuration
    try:
        return Catalog(disabled=disabled_plugins(options))
    except MlopsfwError:
        return Catalog()  # a configuration that cannot be read hides no plugin


_USABLE = ("ok", "disabled")


def _state(claim: Claim, catalog: Catalog) -> str:
    if claim.misnamed:
        return f"unknown: {claim.misnamed}"
    if catalog.is_disabled(claim):
        return "disabled"
    if not api_accepted(claim.api):
        return f"needs hooks v{claim.api}"
    if claim.kind == "command" and claim.name in VERBS:
        return f"hidden: mlopsfw itself has the verb {claim.name!r}; the plugin must choose another name"
    rivals = [c for c in catalog.claims if c.key == claim.key and not catalog.is_disabled(c)]
    return "clash" if len(rivals) > 1 else "ok"


@plugins.command("list")
@click.option("--load", is_flag=True, help="Import each plugin and check that it provides what its metadata lists.")
@json_option
@click.pass_context
def list_(context: click.Context, *, load: bool, as_json: bool) -> None:
    """List what each installed distribution provides. Import no plugin unless you pass --load."""
    catalog = _catalog(context)
    manager = PluginManager(catalog) if load else None
    rows = [_row(claim, catalog, manager) for claim in catalog.claims]
    columns = ["name", "distribution", "version", "state", "summary"] if load else None
    if as_json:
        emit_json(rows)
    else:
        table(rows, columns, empty="No plugin is installed.")
    wrong = [row["name"] for row in rows if row["state"] not in _USABLE]
    if wrong:
        hint = "Disable them under [plugins], or upgrade or uninstall their packages. The column `state` says why."
        raise PluginError(f"{len(wrong)} of {len(rows)} plugins cannot be used: {', '.join(wrong)}", hint=hint)


def _row(claim: Claim, catalog: Catalog, manager: PluginManager | None) -> dict[str, Any]:
    row = {
        "name": claim.key,
        "distribution": claim.distribution,
        "version": claim.version,
        "module": claim.module,
        "state": _state(claim, catalog),
    }
    return row | _loaded(claim, manager) if manager is not None and row["state"] == "ok" else row


def _inspected(claim: Claim, manager: PluginManager) -> str:
    """Load a plugin, check that it offers what its entry point says, and return its summary. Raise what is wrong with it."""
    kind = KINDS[claim.kind]
    if kind.builds:
        return manager.provider(claim.kind, claim.name)[1].summary
    if kind.choice == "verb":
        return manager.command(claim.name).get_short_help_str()
    if not manager.implements(claim, kind.spec):
        raise PluginError(f"{claim} does not implement the hook {kind.spec}")
    return ""


def _loaded(claim: Claim, manager: PluginManager) -> dict[str, str]:
    """Load a plugin; whatever it raises is its row's state, and what it prints goes to stderr."""
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            return {"summary": _inspected(claim, manager)}
    except Exception as error:  # noqa: BLE001 - a listing shows what is broken
        message = error.message if isinstance(error, MlopsfwError) else text_of(error)
        text = "; ".join(filter(None, (message, blame_of(error))))
        return {"state": f"broken: {' '.join(text.split())}"}


@plugins.command()
@click.argument("role", type=click.Choice(roles()), metavar="ROLE")
@click.argument("name")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where to make the package's folder.",
)
def new(role: str, name: str, folder: Path) -> None:
    """Write the package of a new plugin: NAME in ROLE, such as `alerter pager`. It works as it stands.

    ROLE is one of alerter, command, component, deployer, engine, format, metric, monitor, observer, runtime, secrets, source, step, storage and trainer.
    One package may provide several: add entry points and hooks of another one.
    """
    made = write_package(role, name, folder)
    click.echo(f"{made} holds the plugin {role}.{name} and its tests. Next:")
    click.echo(f"  pip install -e '{made}[test]'\n  mlopsfw plugins check {made}")


@plugins.command()
@click.argument("package")
@click.option(
    "--timeout", default=120.0, show_default=True, help="Seconds that the checks may take, and again the tests."
)
@json_option
def check(package: str, timeout: float, *, as_json: bool) -> None:
    """Check PACKAGE: an installed distribution, or the folder of one, whose tests run too.

    Each plugin is imported in a process of its own. Nothing of the current project is read. A terminal shows what is checked meanwhile.
    """
    from mlopsfw.cli.plugin_check import check_package

    results = [result._asdict() for result in check_package(package, timeout, _on_terminal)]
    if as_json:
        emit_json(results)
    else:
        said = [row["message"].splitlines() or [""] for row in results]
        rows = [
            row | {"ok": "ok" if row["ok"] else "fails", "seconds": round(row["seconds"], 2), "message": lines[-1]}
            for row, lines in zip(results, said, strict=True)
        ]
        table(rows, ["plugin", "check", "ok", "seconds", "message"])
        for line in (line for lines in said for line in lines[:-1]):
            click.echo(printable(line))
    if not all(row["ok"] for row in results):
        raise PluginError(f"{package} does not pass every check", hint="Each row that fails says why.")


def _on_terminal(line: str) -> None:
    if sys.stderr.isatty():
        click.secho(printable(line), err=True, dim=True)


@plugins.command()
@click.argument("name")
@click.pass_context
def disable(context: click.Context, name: str) -> None:
    """Disable NAME (such as observer.acme, or a distribution) in this project: mlopsfw never loads it."""
    from mlopsfw.cli.output import open_project
    from mlopsfw.kernel.base.errors import UnknownName
    from mlopsfw.kernel.base.ids import nearest

    known = {key for claim in Catalog().claims for key in (claim.key, claim.distribution)} - {"mlopsfw"}
    if name not in known:
        raise UnknownName(f"no plugin or distribution is called {name!r}", hint=nearest(name, known))
    project = open_project(context)
    if name in project.config.disabled:
        click.echo(f"{name} is disabled already.")
        return
    _add_disabled(Path(project.config.file), [*project.config.disabled, name])
    click.echo(f"{name} is disabled in {project.config.file}.")


def _add_disabled(file: Path, names: list[str]) -> None:
    """Write `[plugins] disabled`, and keep every other line of the file as the user wrote it."""
    import json

    from mlopsfw.kernel.config.locate import key_lines

    text = file.read_text(encoding="utf-8")
    lines, where = text.splitlines(keepends=True), key_lines(text)
    entry = f"disabled = {json.dumps(names, ensure_ascii=False)}\n"
    if "plugins.disabled" in where:
        start = where["plugins.disabled"] - 1
        end = start + 1
        while "]" not in "".join(lines[start:end]):
            end += 1
        lines[start:end] = [entry]
    elif "plugins" in where:
        lines.insert(where["plugins"], entry)
    else:
        lines += ["" if text.endswith("\n") or not text else "\n", "\n[plugins]\n", entry]
    write_file(file, "".join(lines))
