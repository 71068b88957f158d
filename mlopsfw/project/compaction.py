"""`python -m mlopsfw.serving.captures FILE ENDPOINT`: compact in a process of its own, so that a server stays small.

FILE holds `{"root": …, "config": …}`: the project's folder and its resolved configuration.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from mlopsfw.kernel.config import ProjectConfig
from mlopsfw.project.facade import Project


class Where(msgspec.Struct, frozen=True):
    """The part of FILE that is needed here.

    Args:
        root: The project's folder.
        config: Its configuration as JSON; empty to read it from the folder.
    """

    root: str
    config: str = ""


def main(file: str, endpoint: str) -> None:
    """Compact what `endpoint` captured."""
    where = msgspec.json.decode(Path(file).read_bytes(), type=Where)
    config = ProjectConfig.from_json(where.config) if where.config else None
    with Project.open(Path(where.root), config=config) as project:
        project.captures.compact(endpoint)


if __name__ == "__main__":
    main(*sys.argv[1:])
