"""`ProjectHost`: the part of a project that one provider gets to see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import PluginError
from mlopsfw.kernel.base.ids import check_name
from mlopsfw.kernel.events import authority
from mlopsfw.kernel.events.authority import copy
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.events.registry import fields_of
from mlopsfw.privacy.secrets import SecretResolver
from mlopsfw.project.host_services import PluginHttp, ProviderState, write_line

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.kernel.events.record import EventRecord
    from mlopsfw.kernel.roles.bundle import Manifest
    from mlopsfw.kernel.roles.deployer import EndpointSpec
    from mlopsfw.kernel.roles.event import Event
    from mlopsfw.kernel.roles.host import Blobs, Bundles, Capture, Clock, Http, Secrets, State, Tables
    from mlopsfw.privacy.treatments import Mark
    from mlopsfw.project.wiring import Wiring


class ProjectHost:
    """Implements `mlopsfw.roles.Host` for one provider.

    Args:
        project: What it is given parts of.
        name: Its kind, such as `trainer.torch`, under which it writes.
        instance: Its own name, such as `trainer.boosted`, where that is another: its files lie there.
    """

    def __init__(self, project: Wiring, name: str, instance: str = "") -> None:
        self._project, self._name, self._instance = project, name, instance or name

    def _on_storage(self, what: str) -> Wiring:
        """Return the parts that are built on storage. Raise `PluginError` for the storage itself, and for what it needs."""
        if self._name.startswith(("storage.", "secrets.")):
            raise PluginError(f"{self._name} asked for {what} before the storage that holds them exists")
        return self._project

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

    def private_folder(self, *parts: str) -> Path:
        """Return a folder of this provider's own on this machine. Raise `UsageError` for a part that is no name."""
        for part in parts:
            check_name(part, "folder")
        return self._project.private_folder("plugins", self._instance, *parts)

    @property
    def clock(self) -> Clock:
        """Time."""
        return self._project.clock

    @property
    def secrets(self) -> Secrets:
        """Secret references. Those of a secret store lead to no store."""
        return SecretResolver(self.root) if self._name.startswith("secrets.") else self._project.secrets

    @property
    def state(self) -> State:
        """Small values of this provider's own."""
        return ProviderState(self.private_folder("state"))

    @property
    def http(self) -> Http:
        """The HTTP client."""
        return PluginHttp(allow_private=self._name in self._project.config.allow_private)

    def log(self, text: str) -> None:
        """Write a line to the log of the step that runs here, else to the project's."""
        write_line(self._project.private_folder() / "plugins.log", self._instance, text, self._project.clock)

    @property
    def blobs(self) -> Blobs:
        """Content-addressed bytes."""
        return self._on_storage("blobs").blobs

    @property
    def tables(self) -> Tables:
        """Versioned tables."""
        return _OwnTables(self._on_storage("tables").tables, self._name)

    @property
    def bundles(self) -> Bundles:
        """Model bundles."""
        return self._on_storage("bundles").bundles

    def capture(self, spec: EndpointSpec, manifest: Manifest) -> Capture:
        """Return what keeps the predictions of an endpoint."""
        from mlopsfw.capturelog.folders import log_folder
        from mlopsfw.project.endpoint_capture import EndpointCapture

        if not self._name.startswith("deployer."):
            raise PluginError(f"{self._name} may not write predictions", hint="Only a deployer captures.")
        return EndpointCapture(self._project.recorder(spec, manifest), log_folder(self.root, spec.endpoint))

    def treat_pii(self, columns: Mapping[str, list[Any]], marks: Mapping[str, Mark]) -> dict[str, list[Any]]:
        """Return a request's columns as the model learned them."""
        from mlopsfw.project.endpoint_capture import plain_columns

        return self._project.privacy.requests(marks).asked(plain_columns(columns))

    def emit(self, stream: str, type: str, body: Mapping[str, Any]) -> Event:  # noqa: A002 - the event's own field name
        """Append an event of the plugin's own to a stream of its own, and tell the observers."""
        ledger = self._on_storage("ledger").ledger
        authority.check(self._name, stream, type)
        if declared := ledger.types.record(type):
            _check_body(declared, body, self._name)
        record = PlainRecord(type, body, ledger.types.schema(type))
        return copy(ledger.stream(stream).append(record, plugin=self._name))

    def events(self, stream: str, after: int = 0) -> Iterator[Event]:
        """Yield a stream's events in order."""
        return map(copy, self._on_storage("ledger").ledger.stream(stream).events(after))


def _check_body(record: type[EventRecord], body: Mapping[str, Any], plugin: str) -> None:
    """Raise `PluginError` with the field where a body is not what its declared record says."""
    fields = fields_of(record) or {}
    reasons = [f"it has no field {name!r}" for name in body if name not in fields]
    try:
        msgspec.convert(body, record)
    except msgspec.ValidationError as error:
        reasons.insert(0, str(error))
    if reasons:
        raise PluginError(
            f"{plugin} emits a malformed {record.type}: {reasons[0]}",
            hint=f"Pass what {record.__name__}(…).body() returns.",
        )


class _OwnTables:
    """Tables, of which all may be read and the plugin's own written. Implements `mlopsfw.roles.Tables`."""

    def __init__(self, tables: Tables, plugin: str) -> None:
        self._tables, self._plugin = tables, plugin

    def append(self, name: str, rows: pa.Table) -> int:
        """Append rows to a table of the plugin's own."""
        own = f"plugin/{self._plugin}/"
        if not name.startswith(own):
            raise PluginError(
                f"{self._plugin} may not write to the table {name!r}", hint=f"A plugin's tables are {own}NAME."
            )
        return self._tables.append(name, rows)

    def read(self, name: str, version: int | None = None) -> pa.RecordBatchReader:
        """Return the rows of any table, as they are read."""
        return self._tables.read(name, version)
