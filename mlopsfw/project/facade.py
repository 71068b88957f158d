"""`Project`: one folder with an `mlopsfw.toml`, opened and closed. Its parts are made by `Wiring`, each on first use.

Verbs, notebooks and the processes that plugins start open a project and use its parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mlopsfw.kernel.config import ProjectConfig, find_project, load_config
from mlopsfw.project.wiring import Wiring

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.event import Event


class Project(Wiring):
    """One project on this machine; its arguments are those of `Wiring`. A `with` block closes it."""

    @classmethod
    def open(
        cls,
        start: Path | None = None,
        *,
        env: str | None = None,
        overrides: Sequence[str] = (),
        config: ProjectConfig | None = None,
        observe: Callable[[Event], None] | None = None,
    ) -> Project:
        """Open the project at or above `start` (the current folder), or at `start` with a `config` resolved elsewhere.

        Raises:
            UsageError: There is none.
            ConfigError: Its configuration is wrong.
        """
        if config is not None:
            return cls((start or Path.cwd()).absolute(), config, observe=observe)
        file = find_project(start)
        return cls(file.parent, load_config(file, env=env, overrides=overrides), observe=observe)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
