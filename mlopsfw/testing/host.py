"""`FakeHost`: what a plugin gets to use, in memory. It refuses what the real one refuses, because it is made of the same parts.

host = FakeHost(tmp_path, "alerter.acme")
alerter = AcmeAlerter(AcmeConfig(), host)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.base.errors import DataError, NotFound
from mlopsfw.kernel.config.model import ProjectConfig
from mlopsfw.project.host import ProjectHost
from mlopsfw.project.wiring import Wiring
from mlopsfw.testing.memory import MemoryStorage

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.kernel.roles.event import Event


class FakeHost(ProjectHost):
    """Implements `mlopsfw.roles.Host`. Only the provider's private folder, its state and its log are files.

    Args:
        root: The project's folder, such as `tmp_path`.
        key: The plugin's entry point, such as `alerter.acme`.
        instance: The provider's own name, where it has another one, such as `alerter.oncall`.
        allow_private: Whether the plugin may call addresses that are not public.
    """

    def __init__(self, root: Path, key: str, instance: str = "", *, allow_private: bool = False) -> None:
        config = ProjectConfig(name="fake", allow_private=(key,) if allow_private else ())
        self.observed: list[Event] = []
        """What was appended, in order."""
        super().__init__(_Parts(root, config, observe=self.observed.append), key, instance)


class _Parts(Wiring):
    @cached_property
    def storage(self) -> MemoryStorage:
        return MemoryStorage()

    @cached_property
    def tables(self) -> _MemoryTables:  # type: ignore[override]
        return _MemoryTables()

    @property
    def actor(self) -> str:
        return "user:fake"


class _MemoryTables:
    """Implements `mlopsfw.roles.Tables`."""

    def __init__(self) -> None:
        self._versions: dict[str, list[pa.Table]] = {}

    def append(self, name: str, rows: Any) -> int:
        import pyarrow as pa

        before = self._versions.setdefault(name, [])
        if before:
            shared = set(before[-1].schema.names) & set(rows.schema.names)
            for column in shared:
                if before[-1].schema.field(column).type != rows.schema.field(column).type:
                    raise DataError(f"the column {column!r} of the table {name!r} has another type")
            rows = pa.concat_tables([before[-1], rows], promote_options="default")
        before.append(rows)
        return len(before) - 1

    def read(self, name: str, version: int | None = None) -> pa.RecordBatchReader:
        versions: Sequence[pa.Table] = self._versions.get(name, ())
        if not versions or not (version is None or 0 <= version < len(versions)):
            raise NotFound(f"there is no table {name!r}" + ("" if version is None else f" at version {version}"))
        return versions[-1 if version is None else version].to_reader()
