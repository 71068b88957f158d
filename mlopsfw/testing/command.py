"""`CommandConformance`: what every verb promises.

class TestAcme(CommandConformance):
    @pytest.fixture
    def command(self):
        return acme
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from mlopsfw.kernel.base.errors import MlopsfwError

_NO_OPTION = "--no-such-option"


class CommandConformance:
    """Subclass it, and override the fixtures.

    - `command`: the verb, a command of click.
    - `arguments`: the words with which it can run in `project`; none if it is not overridden.
    - `project`: the folder of a project in which it can run; an empty project if it is not overridden.
    """

    @pytest.fixture
    def command(self) -> click.Command:
        """Override: the verb."""
        raise NotImplementedError

    @pytest.fixture
    def arguments(self) -> list[str]:
        """Override: the words with which it can run."""
        return []

    @pytest.fixture
    def project(self, tmp_path: Path) -> Path:
        """Override: the folder of a project."""
        (tmp_path / "mlopsfw.toml").write_text('[project]\nname = "kit"\n', encoding="utf-8")
        return tmp_path

    def test_its_help_says_what_it_does_and_what_each_option_is_for(self, command: click.Command) -> None:
        for each in _with_subcommands(command):
            assert each.get_short_help_str().strip(), f"{each.name} has no docstring"
            for option in each.params:
                assert not isinstance(option, click.Option) or option.hidden or option.help, (
                    f"{option.name} has no help"
                )
        assert _invoke(command, ["--help"], Path()).exit_code == 0

    def test_it_runs_in_a_project(self, command: click.Command, arguments: list[str], project: Path) -> None:
        result = _invoke(command, arguments, project)
        assert result.exception is None, result.output
        assert result.exit_code == 0

    def test_with_json_it_prints_one_document_and_nothing_else(
        self, command: click.Command, arguments: list[str], project: Path
    ) -> None:
        if not any("--json" in option.opts for option in command.params):
            pytest.skip("the command has no --json")
        json.loads(_invoke(command, [*arguments, "--json"], project).stdout)

    def test_an_unknown_option_is_a_usage_error(
        self, command: click.Command, arguments: list[str], project: Path
    ) -> None:
        result = _invoke(command, [*arguments, _NO_OPTION], project)
        assert result.exit_code == 2
        assert _NO_OPTION in result.output

    def test_without_a_project_it_works_or_raises_an_error_of_mlopsfw(
        self, command: click.Command, arguments: list[str], tmp_path: Path
    ) -> None:
        result = _invoke(command, arguments, tmp_path / "no" / "project")
        assert result.exit_code == 0 or isinstance(result.exception, MlopsfwError), result.exception

    def test_it_never_ends_the_process_by_itself(
        self, command: click.Command, arguments: list[str], project: Path, tmp_path: Path
    ) -> None:
        """`sys.exit` in a verb skips what mlopsfw closes and hides the error: raise one of `mlopsfw.errors`."""
        for place in (project, tmp_path / "no" / "project"):
            with click.Context(command, obj={"project": place}) as above:
                try:
                    command.main(list(arguments), command.name, standalone_mode=False, parent=above)
                except SystemExit as end:
                    pytest.fail(f"it called sys.exit({end.code})")
                except (MlopsfwError, click.ClickException):
                    continue


def _with_subcommands(command: click.Command) -> list[click.Command]:
    below = command.commands.values() if isinstance(command, click.Group) else ()
    return [command, *(each for sub in below for each in _with_subcommands(sub))]


def _invoke(command: click.Command, arguments: list[str], project: Path) -> Result:
    return CliRunner().invoke(command, arguments, obj={"project": project}, catch_exceptions=True)
