"""`Wiring`: the one place where a project's parts are put together, each when it is first used.

What a part does is its room's. Nothing below `mlopsfw.project` knows this module.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mlopsfw.kernel.base.clock import SystemClock
from mlopsfw.kernel.config import ProjectConfig
from mlopsfw.kernel.workspace import Workspace

if TYPE_CHECKING:
    from mlopsfw.alerts import Alerts
    from mlopsfw.data.datasets import Datasets
    from mlopsfw.data.datasets.checking import ContractChecks
    from mlopsfw.data.datasets.erasure import RowErasure
    from mlopsfw.data.datasets.vacuum import VersionRemoval
    from mlopsfw.data.filesets.catalog import FileSets
    from mlopsfw.data.tables.plain import PlainTables
    from mlopsfw.governance.forget import Erasures
    from mlopsfw.kernel.component import Component
    from mlopsfw.kernel.index import Index
    from mlopsfw.kernel.ledger import Ledger
    from mlopsfw.kernel.plugins.manager import PluginManager
    from mlopsfw.kernel.roles.event import Event
    from mlopsfw.kernel.roles.host import Clock, Secrets
    from mlopsfw.kernel.roles.storage import Storage
    from mlopsfw.kernel.services import Services
    from mlopsfw.kernel.store.blobs import BlobStore
    from mlopsfw.kernel.store.vault import Vault
    from mlopsfw.lineage import LineageGraph
    from mlopsfw.models.bundle import BundleStore
    from mlopsfw.models.offline import OfflineScorer
    from mlopsfw.models.registry import Registry
    from mlopsfw.models.registry.personal_columns import PersonalColumns
    from mlopsfw.monitoring import Monitoring
    from mlopsfw.monitoring.watch import Watcher
    from mlopsfw.monitoring.windows import Windows
    from mlopsfw.operations.doctor import Doctor
    from mlopsfw.pipeline.graph.model import StepCatalog
    from mlopsfw.pipeline.run.runs import Runs
    from mlopsfw.pipeline.run.session import Sessions
    from mlopsfw.pipeline.values.codec import Values
    from mlopsfw.privacy.marks import Privacy
    from mlopsfw.project.host import ProjectHost
    from mlopsfw.project.providers import Providers
    from mlopsfw.serving.captures import Captures
    from mlopsfw.serving.endpoints import Endpoints
    from mlopsfw.serving.labels import Labels


class Wiring:
    """The parts of one project on this machine.

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
        self._closing = contextlib.ExitStack()

    def close(self) -> None:
        """Let go of workers and open files."""
        self._closing.close()

    @cached_property
    def actor(self) -> str:
        """Who acts: `MLOPSFW_ACTOR`, else `user@host`."""
        from mlopsfw.kernel.events.authority import check_person

        named = os.environ.get("MLOPSFW_ACTOR")
        return check_person(named or f"{getpass.getuser()}@{socket.gethostname()}")

    def add_code_path(self) -> None:
        """Make the project's own modules importable in this process."""
        for folder in reversed(self.config.code):
            path = str((self.root / folder).resolve())
            if path not in sys.path:
                sys.path.insert(0, path)

    # -- plugins ---------------------------------------------------------------------------------------------------------

    @cached_property
    def plugins(self) -> PluginManager:
        """The installed plugins, less the disabled ones."""
        from mlopsfw.kernel.plugins.catalog import Catalog
        from mlopsfw.kernel.plugins.manager import PluginManager

        extra = os.environ.get("MLOPSFW_DISABLE_PLUGINS", "").split()
        return PluginManager(Catalog(disabled=(*self.config.disabled, *extra)))

    def host(self, name: str) -> ProjectHost:
        """Return the host for the provider called `name`, such as `trainer.torch`."""
        from mlopsfw.project.host import ProjectHost

        return ProjectHost(self, name)

    def notify(self, event: Event) -> None:
        """Tell the observers of an event."""
        self.plugins.notify(event, self.host, self.config.observers)

    @cached_property
    def providers(self) -> Providers:
        """What the configuration selects."""
        from mlopsfw.project.providers import Providers

        return Providers(self.plugins, self.config, self.host, self._closing)

    @property
    def storage(self) -> Storage:
        """Where everything is kept."""
        return self.providers.storage

    # -- what is built on storage ------------------------------------------------------------------------------------------

    @cached_property
    def secrets(self) -> Secrets:
        """Secret references."""
        from mlopsfw.kernel.config.secrets import SecretResolver

        return SecretResolver(self.root)

    @cached_property
    def ledger(self) -> Ledger:
        """Everything that happened; observers are told of each append."""
        from mlopsfw.kernel.ledger import Ledger
        from mlopsfw.project.components import event_types

        if self._observe is None:
            self.plugins.check_observers(self.config)
        observe = self._observe or self.notify
        return Ledger(
            self.storage, actor=self.actor, clock=self.clock, types=event_types(self.components), on_append=observe
        )

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
            actor=self.actor,
            storage=self.storage,
            ledger=self.ledger,
            blobs=self.blobs,
            tables=TableLocations(self.storage, self.config.encryption),
            clock=self.clock,
            secrets=self.secrets,
            workspace=self.workspace,
        )

    @cached_property
    def privacy(self) -> Privacy:
        """The marked columns."""
        from mlopsfw.privacy.marks import Privacy

        return Privacy(self.config.data, self.config.privacy, self.secrets)

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
        from mlopsfw.kernel.index import Index
        from mlopsfw.project.components import index_parts

        index = Index(self.private_folder() / "index.sqlite", self.ledger, index_parts(self.components))
        self._closing.callback(self._close_index)
        return index

    def _close_index(self) -> None:
        """Close the index; the next use opens it anew."""
        index = self.index
        del self.index
        index.close()

    @cached_property
    def components(self) -> tuple[Component, ...]:
        """What each part says of itself."""
        from mlopsfw.project.components import components

        return components(self)

    @cached_property
    def lineage(self) -> LineageGraph:
        """What came from what."""
        from mlopsfw.lineage import LineageGraph

        return LineageGraph(self.index, self.components)

    @cached_property
    def erasures(self) -> Erasures:
        """Erasures of subjects."""
        from mlopsfw.data.filesets.holding import ErasureStart
        from mlopsfw.governance.forget import Erasures

        start = ErasureStart(self.datasets, self.filesets)
        return Erasures(self.services, self.lineage, start, self.components)

    @cached_property
    def datasets(self) -> Datasets:
        """Versioned datasets."""
        from mlopsfw.data.datasets import Datasets

        return Datasets(self.services, self.config.data, self.privacy)

    @cached_property
    def contract_checks(self) -> ContractChecks:
        """Datasets checked against contracts."""
        from mlopsfw.data.datasets.checking import ContractChecks

        return ContractChecks(self.services, self.datasets, self.privacy)

    @cached_property
    def filesets(self) -> FileSets:
        """Versions of folders."""
        from mlopsfw.data.filesets.catalog import FileSets

        return FileSets(self.services, self.datasets, self.vault)

    @cached_property
    def version_removal(self) -> VersionRemoval:
        """Old versions of datasets, of which the files go."""
        from mlopsfw.data.datasets.needs import joined
        from mlopsfw.data.datasets.vacuum import VersionRemoval

        needs = joined(component.needs for component in self.components if component.needs is not None)
        return VersionRemoval(self.services, self.datasets, needs, self.filesets.removal)

    @cached_property
    def row_erasure(self) -> RowErasure:
        """Datasets that lose a subject's rows."""
        from mlopsfw.data.datasets.erasure import RowErasure

        return RowErasure(self.services, self.datasets, self.filesets.erasure)

    @property
    def tables(self) -> PlainTables:
        """Plain appendable tables, such as captured predictions."""
        return self.datasets.tables

    @cached_property
    def bundles(self) -> BundleStore:
        """Model bundles."""
        from mlopsfw.models.bundle import BundleStore

        return BundleStore(self.providers.runtime)

    @cached_property
    def scorer(self) -> OfflineScorer:
        """Scores files with registered models."""
        from mlopsfw.models.offline import OfflineScorer

        return OfflineScorer(self.services, self.registry, self.bundles, self.personal_columns)

    @cached_property
    def registry(self) -> Registry:
        """Model versions and aliases."""
        from mlopsfw.models.registry import Registry

        return Registry(self.services, self.bundles, self.runs)

    @cached_property
    def personal_columns(self) -> PersonalColumns:
        """How the data that models learned from was treated."""
        from mlopsfw.models.registry.personal_columns import PersonalColumns

        return PersonalColumns(self.datasets, self.privacy)

    @cached_property
    def runs(self) -> Runs:
        """Runs of the pipeline."""
        from mlopsfw.pipeline.run.runs import Runs

        return Runs(self.services)

    @cached_property
    def values(self) -> Values:
        """Values of steps, stored by content."""
        from mlopsfw.pipeline.values.codec import Values

        return Values(self.services, self.datasets, self.filesets.open)

    @cached_property
    def steps(self) -> StepCatalog:
        """The steps that the configuration can select by name."""
        from mlopsfw.project.steps import BuiltinSteps

        return BuiltinSteps(self)

    @cached_property
    def pipeline(self) -> Sessions:
        """Runs of the pipeline: started, gone on with, planned."""
        from mlopsfw.project.pipeline import sessions

        return sessions(self)

    @cached_property
    def endpoints(self) -> Endpoints:
        """What is served."""
        from mlopsfw.serving.endpoints import Endpoints

        return Endpoints(self.ledger, self.registry, lambda: self.providers.deployer, self.personal_columns)

    @cached_property
    def captures(self) -> Captures:
        """Captured predictions."""
        from mlopsfw.serving.captures import Captures

        return Captures(self.workspace, self.tables)

    @cached_property
    def labels(self) -> Labels:
        """Labels that arrived."""
        from mlopsfw.serving.label_table import LabelTable
        from mlopsfw.serving.labels import Labels

        table = LabelTable(self.tables, self.captures, self.endpoints)
        return Labels(self.services, self.registry, self.personal_columns, self.config.capture, table)

    @cached_property
    def alerts(self) -> Alerts:
        """Alerts and their delivery."""
        from mlopsfw.alerts import Alerts

        return Alerts(self.services, [selection.use for selection in self.config.alerters], self.providers.alerter)

    @cached_property
    def windows(self) -> Windows:
        """Captured predictions by event time."""
        from mlopsfw.monitoring.windows import Windows

        return Windows(self.captures, self.labels, self.registry, self.config.capture)

    @cached_property
    def monitoring(self) -> Monitoring:
        """The monitors at work."""
        from mlopsfw.monitoring import Monitoring
        from mlopsfw.monitoring.baseline import Baselines

        baselines = Baselines(self.blobs, self.registry)
        return Monitoring(self.services, lambda: self.providers.monitors, self.windows, baselines, self.alerts)

    @cached_property
    def watcher(self) -> Watcher:
        """Watches endpoints."""
        from mlopsfw.monitoring.watch import Watcher

        return Watcher(self.services, self.monitoring, self.windows, self.alerts)

    @cached_property
    def doctor(self) -> Doctor:
        """Asks questions about all of it."""
        from mlopsfw.operations.doctor import Doctor
        from mlopsfw.project.checks import questions

        return Doctor(lambda: questions(self))
