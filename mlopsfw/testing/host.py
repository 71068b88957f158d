"""`FakeHost`: what a plugin gets to use, in memory. It refuses what the real one refuses, because it is made of the same parts.

host = FakeHost(tmp_path, "alerter.acme")
alerter = AcmeAlerter(AcmeConfig(), host)
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mlopsfw.kernel.config.model import ProjectConfig
from mlopsfw.project.host import ProjectHost
from mlopsfw.project.wiring import Wiring
from mlopsfw.testing.memory import MemoryStorage

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.event import Event


class FakeHost(ProjectHost):
    """Implements `mlopsfw.roles.Host`. The provider's private folder, its state, its log and copies of tables are files.

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

    @property
    def actor(self) -> str:
        return "user:fake"
