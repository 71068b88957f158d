"""`KernelWiring`: the kernel's part of a project: plugins, storage, ledger, blobs, index, and the services made of them."""

from __future__ import annotations

import contextlib
import errno
import getpass
import os
import socket
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.base.clock import SystemClock
from mlopsfw.kernel.config import ProjectConfig
from mlopsfw.kernel.events.registry import values_at
from mlopsfw.kernel.workspace import Workspace

if TYPE_CHECKING:
    from mlopsfw.governance.actors import Actors
    from mlopsfw.governance.identity import Identity
    from mlopsfw.governance.texts import Texts
    from mlopsfw.kernel.component import Component
    from mlopsfw.kernel.events.registry import EventTypes
    from mlopsfw.kernel.index import Index
    from mlopsfw.kernel.ledger import Ledger
    from mlopsfw.kernel.ledger.stream import Record
    from mlopsfw.kernel.plugins.manager import PluginManager
    from mlopsfw.kernel.roles.event import Event
    from mlopsfw.kernel.roles.host import Clock, Host, Secrets
    from mlopsfw.kernel.roles.storage import Storage
    from mlopsfw.kernel.services import Services
    from mlopsfw.kernel.store.blobs import BlobStore
    from mlopsfw.kernel.store.vault import Vault
    from mlopsfw.operations.checkpointing import AutomaticCheckpoints
    from mlopsfw.project.deadlines import ObserverCalls
    from mlopsfw.project.providers import Providers
    from mlopsfw.project.secrets import SecretStores


class KernelWiring(ABC):
    """What the kernel gives to one project on this machine, each part made on first use.

    Args:
        root: Its folder.
        config: What its `mlopsfw.toml` says, overlays and overrides applied.
        observe: Called with each event that this process appends; the project's observers for None.
    """

    def __init__(self, root: Path, config: ProjectConfig, *, observe: Callable[[Event], None] | None = None) -> None:
        self.root, self.config, self.name = root, config, config.name
        self.workspace = Workspace(root)
        self.state, self.private_folder = self.workspace.state, self.workspace.private_folder
        self.clock: Clock = SystemClock()
        self._observe = observe
        self._silent = False
        self._closing = contextlib.ExitStack()

    def close(self) -> None:
        """Let go of workers and open files."""
        self._closing.close()

    @cached_property
    def plugins(self) -> PluginManager:
        """The installed plugins and those of the project's own code, less the disabled ones."""
        if self.config.modules:
            from mlopsfw.project.own_plugins import ProjectPlugins

            return ProjectPlugins(self.root, self.config)
        from mlopsfw.kernel.plugins.catalog import Catalog
        from mlopsfw.kernel.plugins.manager import PluginManager

        catalog = Catalog(disabled=self.config.disabled)
        if any(claim.distribution != "mlopsfw" for claim in catalog.claims):
            from mlopsfw.project.own_plugins import check_bytecode

            check_bytecode(catalog.claims)
        return PluginManager(catalog)

    @cached_property
    def providers(self) -> Providers:
        """What the configuration selects."""
        from mlopsfw.project.providers import Providers

        return Providers(self.plugins, self.config, self.host, self._closing)

    @property
    def storage(self) -> Storage:
        """Where everything is kept."""
        return self.providers.storage

    @cached_property
    def secret_stores(self) -> SecretStores:
        """The stores of secrets by scheme, besides the environment and files."""
        from mlopsfw.project.secrets import Schemes, SecretStores

        schemes = Schemes(lambda: self.plugins.catalog.claims, self.config.options.get("secrets", {}))
        return SecretStores(schemes, lambda scheme: self.providers.secret_store(scheme))  # noqa: PLW0108 - built late

    @cached_property
    def secrets(self) -> Secrets:
        """Secret references."""
        from mlopsfw.privacy.secrets import SecretResolver

        return SecretResolver(self.root, self.secret_stores)

    @cached_property
    def actors(self) -> Actors:
        """The directory of who acts."""
        from mlopsfw.governance.actors import Actors

        return Actors(self.storage, self.clock)

    @cached_property
    def identity(self) -> Identity:
        """Who acts here: `MLOPSFW_ACTOR`, else `user@host`."""
        from mlopsfw.governance.identity import Identity

        name = os.environ.get("MLOPSFW_ACTOR") or f"{getpass.getuser()}@{socket.gethostname()}"
        return Identity(name, self.storage, self.actors, self.workspace)

    @cached_property
    def actor(self) -> str:
        """The id of who acts here; who is new is entered in the directory."""
        return self.identity.find()

    @cached_property
    def texts(self) -> Texts:
        """What people wrote."""
        from mlopsfw.governance.texts import Texts

        return Texts(self.blobs, self.actors, self.event_types, lambda: self.actor)

    @cached_property
    def event_types(self) -> EventTypes:
        """The types of events, the kernel's and those of the components."""
        from mlopsfw.project.components import event_types

        return event_types(self.components)

    @cached_property
    def _check_options(self) -> None:
        from mlopsfw.project.observer_options import wrong_options

        for _, _, missing in self.plugins.missing(self.config):
            raise missing
        for wrong in wrong_options(self.plugins, self.config) if "observer" in self.config.options else ():
            raise wrong

    def _seal(self, record: Record) -> dict[str, Any]:
        """Return a record's body without words of people; most records have none, and then no `texts` are made.

        Raise `ConfigError` where the file has options of what is not installed: nothing is written that an observer
        should see and cannot. Reading goes on.
        """
        if self._observe is None:
            self._check_options  # noqa: B018 - made once
        body = record.body()
        for path in self.event_types.text_paths(record.type):
            for _, text in values_at(body, path):
                if text:
                    return self.texts.seal(record)
        return body

    @property
    def observers(self) -> Callable[[Event], None]:
        """What tells the project's observers of an event."""
        options = self.config.options.get("observer", {})
        return partial(self.plugins.notify, call=self._observer_calls, host=self.host, options=options)

    @contextlib.contextmanager
    def unobserved(self) -> Iterator[None]:
        """Hold back from observers, inside the block, the events that this project appends: imported history is no news."""
        before, self._silent = self._silent, True
        try:
            yield
        finally:
            self._silent = before

    @cached_property
    def ledger(self) -> Ledger:
        """Everything that happened; observers get each event that is appended."""
        from mlopsfw.kernel.ledger import Ledger

        observe = self._observe or self.observers
        if self._observe is None and self.config.audit.checkpoint:  # the coordinator announces what its workers append
            observe = partial(self._count, observe)

        return Ledger(
            self.storage,
            actor=lambda: self.actor,
            clock=self.clock,
            types=self.event_types,
            seal=self._seal,
            on_append=lambda event: None if self._silent else observe(event),
        )

    @cached_property
    def _checkpoints(self) -> AutomaticCheckpoints:
        from mlopsfw.operations.checkpointing import AutomaticCheckpoints

        checkpoints = AutomaticCheckpoints(self.services, self.config.audit)
        self._closing.callback(checkpoints.close)
        return checkpoints

    def _count(self, observe: Callable[[Event], None], event: Event) -> None:
        """Count an appended event for the next checkpoint, then tell the observers."""
        self._checkpoints.count()
        observe(event)

    @cached_property
    def _observer_calls(self) -> ObserverCalls:
        from mlopsfw.project.deadlines import ObserverCalls

        return ObserverCalls(self.config)

    @cached_property
    def blobs(self) -> BlobStore:
        """Content-addressed bytes."""
        from mlopsfw.kernel.store.blobs import BlobStore

        return BlobStore(self.storage, self.private_folder("blobs"), self.clock, self.vault)

    @cached_property
    def services(self) -> Services:
        """What the kernel gives to each component."""
        from mlopsfw.kernel.services import Services
        from mlopsfw.kernel.store.table_locations import TableLocations

        return Services(
            project=self.name,
            actor=lambda: self.actor,
            storage=self.storage,
            ledger=self.ledger,
            blobs=self.blobs,
            tables=TableLocations(self.storage, self.workspace.state / "tables", self.config.encryption),
            clock=self.clock,
            secrets=self.secrets,
            workspace=self.workspace,
        )

    @cached_property
    def vault(self) -> Vault | None:
        """What encrypts blobs; None where they are stored as they are."""
        references = self.config.encryption.encrypt
        if not references:
            return None
        from mlopsfw.kernel.store.keyring import Keyring
        from mlopsfw.kernel.store.vault import Vault, parse_key

        def keys() -> list[bytes]:
            return [parse_key(self.secrets.resolve(reference), reference) for reference in references]

        return Vault(Keyring(self.storage, keys))

    @cached_property
    def index(self) -> Index:
        """The derived SQLite index; may be deleted at any time."""
        from hashlib import sha256

        from mlopsfw.kernel.index import Index
        from mlopsfw.project.components import index_parts

        store = sha256(self.storage.describe().encode()).hexdigest()[:12]
        index = Index(self._index_folder() / f"{store}.sqlite", self.ledger, index_parts(self.components))
        self._closing.callback(self._close_index)
        return index

    def _index_folder(self) -> Path:
        """Return the index's folder: this process's own where the project can only be read, since the index can be made anew."""
        try:
            folder = self.private_folder("index")
            if os.access(folder, os.W_OK):
                return folder
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise
        return Path(self._closing.enter_context(tempfile.TemporaryDirectory(prefix="mlopsfw-index-")))

    def _close_index(self) -> None:
        """Close the index; the next use opens it anew."""
        index = self.index
        del self.index
        index.close()

    @property
    @abstractmethod
    def components(self) -> tuple[Component, ...]:
        """What each room says of itself."""

    @abstractmethod
    def host(self, name: str, instance: str = "") -> Host:
        """Return the host for a provider of a kind, such as `trainer.torch`, and by its own name, such as `trainer.boosted`."""
