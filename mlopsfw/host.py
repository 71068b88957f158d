"""`ProjectHost`: the part of a project that one provider gets to see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.errors import PluginError

if TYPE_CHECKING:
    from mlopsfw.contracts.event import Event
    from mlopsfw.contracts.host import Blobs, Bundles, Clock, Secrets, Tables
    from mlopsfw.project import Project


class ProjectHost:
    """Implements `contracts.host.Host` for the provider called `name`, such as `trainer.torch`."""

    def __init__(self, project: Project, name: str) -> None:
        self._project, self._name = project, name

    def _stored(self, what: str) -> Any:
        if self._name.startswith("storage."):
            raise PluginError(f"{self._name} asked for {what}, which are built on storage and do not exist yet")
        return getattr(self._project, what)

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self._project.root

    @property
    def project(self) -> str:
        """The project's name."""
        return self._project.name

    @property
    def config(self) -> str:
        """The resolved configuration as JSON."""
        return self._project.config.to_json()

    @property
    def scratch(self) -> Path:
        """A private folder for this provider."""
        return self._project.private_folder("plugins", self._name)

    @property
    def clock(self) -> Clock:
        """Time."""
        return self._project.clock

    @property
    def secrets(self) -> Secrets:
        """Secret references."""
        return self._project.secrets

    @property
    def blobs(self) -> Blobs:
        """Content-addressed bytes."""
        return self._stored("blobs")  # type: ignore[no-any-return]

    @property
    def tables(self) -> Tables:
        """Versioned tables."""
        return self._stored("tables")  # type: ignore[no-any-return]

    @property
    def bundles(self) -> Bundles:
        """Model bundles."""
        return self._stored("bundles")  # type: ignore[no-any-return]

    def emit(self, stream: str, type: str, body: Mapping[str, Any]) -> Event:  # noqa: A002 - the event's own field name
        """Append an event to the ledger and tell the observers."""
        return self._stored("ledger").stream(stream).append(type, body)  # type: ignore[no-any-return]

    def events(self, stream: str, after: int = 0) -> Iterator[Event]:
        """Yield a stream's events in order."""
        return self._stored("ledger").stream(stream).events(after)  # type: ignore[no-any-return]
