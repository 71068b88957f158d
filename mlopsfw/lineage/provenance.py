"""Where a result came from, as far as this machine knows: the state of the code and what is installed.

A run records both when it starts (`mlopsfw.pipeline`); this reads them back, and captures them where there is no run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

    from mlopsfw.kernel.roles.host import Blobs
    from mlopsfw.lineage.codestate import CodeRecord


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """The state of code and environment.

    Args:
        code: `commit`, and `diff`: a blob with what was not committed. Empty outside of a repository.
        environment: Blob (JSON) that maps each installed distribution, Python and the platform to its version.
    """

    code: dict[str, str] = {}
    environment: str = ""


def capture(root: Path, blobs: Blobs) -> Provenance:
    """Store the state of the code in `root` and of this process's environment; return where."""
    from mlopsfw.lineage import canonical
    from mlopsfw.lineage.codestate import CodeState
    from mlopsfw.lineage.environment import environment

    state = CodeState.begin(root)
    installed = blobs.put(canonical.encode(environment()))
    return Provenance(code=state.result(blobs), environment=installed)


class Recorded(Protocol):
    """What a run recorded when it started."""

    @property
    def code(self) -> CodeRecord:
        """The state of the code."""
        ...

    @property
    def environment(self) -> str:
        """Blob of what was installed."""
        ...


def of_run(started: Recorded) -> Provenance:
    """Return what a run recorded when it started."""
    return Provenance(code=msgspec.to_builtins(started.code), environment=started.environment)


def installed(blobs: Blobs, provenance: Provenance) -> dict[str, str]:
    """Return distribution → version of a recorded environment; empty where none was recorded."""
    if not provenance.environment:
        return {}
    return msgspec.json.decode(blobs.get(provenance.environment), type=dict[str, str])
