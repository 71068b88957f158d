"""`Project`: one folder with an `mlopsfw.toml`, opened and closed. Its parts are made by `Wiring`, each on first use.

Verbs, notebooks and the processes that plugins start open a project and use its parts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from mlopsfw.kernel.config import ProjectConfig
from mlopsfw.kernel.roles.event import Event
from mlopsfw.project.config import find_project, load_config
from mlopsfw.project.wiring import Wiring


class Project(Wiring):
    """One project on this machine. A `with` block closes it.

    What users know of it, each part made on first use:

    - `config`, `workspace`: what `mlopsfw.toml` says, and the folder on this machine.
    - `datasets`, `filesets`: versions of tables and of folders.
    - `pipeline`, `runs`, `values`: runs are started, resumed and planned; what became of them, and what their steps returned.
    - `registry`, `bundles`, `scorer`: model versions and aliases, their files, and scores of a file.
    - `objectives`: what models must reach, and by when.
    - `endpoints`, `captures`, `labels`: what is served, what it answered, and what turned out to be true.
    - `windows`, `monitoring`, `watcher`, `alerts`: drift and decay of what was captured.
    - `lineage`, `erasures`, `doctor`: questions about all of it.
    - `people`: who acted, by name, and what they wrote, in clear.
    - `storage`, `ledger`, `blobs`, `index`: where all of it is kept.

    The other attributes serve the modules that put a project together.
    """

    @classmethod
    def open(
        cls,
        start: str | Path | None = None,
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
        start = None if start is None else Path(start)
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


def opened(project: Project | str | Path | None) -> contextlib.AbstractContextManager[Project]:
    """Return a `with` block that has `project`: left open if it is a project already, else opened at that folder and closed."""
    return contextlib.nullcontext(project) if isinstance(project, Project) else Project.open(project)
