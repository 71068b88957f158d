"""`Wiring`: the one place where a project's parts are put together, each when it is first used.

What a part does is its room's. Nothing below `mlopsfw.project` knows this module.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from mlopsfw.project.kernel_wiring import KernelWiring

if TYPE_CHECKING:
    from mlopsfw.alerts import Alerts
    from mlopsfw.data.datasets import Datasets
    from mlopsfw.data.datasets.checking import ContractChecks
    from mlopsfw.data.datasets.removal.erasure import RowErasure
    from mlopsfw.data.datasets.removal.vacuum import VersionRemoval
    from mlopsfw.data.filesets.catalog import FileSets
    from mlopsfw.data.tables.plain import PlainTables
    from mlopsfw.governance.forget import Erasures
    from mlopsfw.governance.people import People
    from mlopsfw.kernel.component import Component
    from mlopsfw.kernel.roles.bundle import Manifest
    from mlopsfw.kernel.roles.deployer import EndpointSpec
    from mlopsfw.lineage.graph import LineageGraph
    from mlopsfw.models.bundle import BundleStore
    from mlopsfw.models.metrics import MetricSet
    from mlopsfw.models.objectives import Objectives
    from mlopsfw.models.offline import OfflineScorer
    from mlopsfw.models.registry import Registry
    from mlopsfw.models.registry.personal_columns import PersonalColumns
    from mlopsfw.monitoring.examination import Monitoring
    from mlopsfw.monitoring.watch import Watcher
    from mlopsfw.monitoring.windows import Windows
    from mlopsfw.operations.doctor import Doctor
    from mlopsfw.pipeline.graph.model import StepCatalog
    from mlopsfw.pipeline.run.runs import Runs
    from mlopsfw.pipeline.run.session import Sessions
    from mlopsfw.pipeline.run.step_runner import StepRunner
    from mlopsfw.pipeline.values.codec import Values
    from mlopsfw.privacy.marks import Privacy
    from mlopsfw.project.host import ProjectHost
    from mlopsfw.project.table_access import ProjectTables
    from mlopsfw.serving.batch import BatchScorer
    from mlopsfw.serving.captures import Captures
    from mlopsfw.serving.endpoints import Endpoints
    from mlopsfw.serving.label_file import LabelFiles
    from mlopsfw.serving.labels import Labels
    from mlopsfw.serving.recorder import Recorder


class Wiring(KernelWiring):
    """The parts of one project on this machine."""

    def host(self, name: str, instance: str = "") -> ProjectHost:
        """Return the host for a provider of a kind, such as `trainer.torch`, and by its own name, such as `trainer.boosted`."""
        from mlopsfw.project.host import ProjectHost

        return ProjectHost(self, name, instance)

    @cached_property
    def components(self) -> tuple[Component, ...]:
        """What each part says of itself."""
        from mlopsfw.project.components import components

        return components(self)

    @cached_property
    def table_access(self) -> ProjectTables:
        """Reaches the tables that the storage does not list."""
        from mlopsfw.project.table_access import ProjectTables

        return ProjectTables(self)

    @cached_property
    def lineage(self) -> LineageGraph:
        """What came from what."""
        from mlopsfw.lineage.graph import LineageGraph

        return LineageGraph(self.index, self.components)

    @cached_property
    def erasures(self) -> Erasures:
        """Erasures of subjects."""
        from mlopsfw.data.filesets.holding import ErasureStart
        from mlopsfw.governance.forget import Erasures

        start = ErasureStart(self.datasets, self.filesets)
        return Erasures(self.services, self.lineage, start, self.components)

    @cached_property
    def people(self) -> People:
        """Who acted, by name, and what they wrote, in clear."""
        from mlopsfw.governance.people import People

        return People(self.services, self.actors, self.texts, self.identity)

    @cached_property
    def privacy(self) -> Privacy:
        """The marked columns."""
        from mlopsfw.privacy.marks import Privacy

        return Privacy(self.config.data, self.config.privacy, self.secrets)

    @cached_property
    def datasets(self) -> Datasets:
        """Versioned datasets."""
        from mlopsfw.data.datasets import Datasets

        return Datasets(self.services, self.config.data, self.privacy, self.providers.intake)

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
        from mlopsfw.data.datasets.removal.needs import joined
        from mlopsfw.data.datasets.removal.vacuum import VersionRemoval

        needs = joined(component.needs for component in self.components if component.needs is not None)
        return VersionRemoval(self.services, self.datasets, needs, self.filesets.removal)

    @cached_property
    def row_erasure(self) -> RowErasure:
        """Datasets that lose a subject's rows."""
        from mlopsfw.data.datasets.removal.erasure import RowErasure

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

        return OfflineScorer(self.services, self.registry, self.bundles, self.personal_columns, self.providers.formats)

    @cached_property
    def metrics(self) -> MetricSet:
        """Metrics of models."""
        from mlopsfw.models.installed_metrics import InstalledMetrics
        from mlopsfw.models.metrics import MetricSet

        return MetricSet(InstalledMetrics(self.plugins, self.config, self.host))

    @cached_property
    def objectives(self) -> Objectives:
        """What models must reach."""
        from mlopsfw.models.objectives import Objectives

        return Objectives(self.config.objectives, self.clock)

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

        return Runs(self.services, lambda: self.index, self.texts)

    @cached_property
    def values(self) -> Values:
        """Values of steps, stored by content."""
        from mlopsfw.pipeline.values.codec import Values

        return Values(self.services, self.datasets, self.filesets.open)

    @cached_property
    def steps(self) -> StepCatalog:
        """The steps that the configuration can select by name."""
        from mlopsfw.project.steps import InstalledSteps

        return InstalledSteps(self)

    @cached_property
    def pipeline(self) -> Sessions:
        """Runs of the pipeline: started, gone on with, planned."""
        from mlopsfw.project.pipeline import sessions

        return sessions(self)

    @cached_property
    def step_runner(self) -> StepRunner:
        """Runs attempts of steps in this process."""
        from mlopsfw.pipeline.run.step_runner import StepRunner

        return StepRunner(self.services, self.pipeline, self.datasets, self.registry, self.values)

    @cached_property
    def endpoints(self) -> Endpoints:
        """What is served."""
        from mlopsfw.serving.endpoints import Endpoints

        return Endpoints(self.ledger, self.registry, self.providers.deployer, self.personal_columns, self.captures)

    @cached_property
    def batch_scorer(self) -> BatchScorer:
        """Scores files at endpoints of batch deployers."""
        from mlopsfw.serving.batch import BatchScorer

        return BatchScorer(self.services, self.endpoints, self.providers.formats)

    @cached_property
    def captures(self) -> Captures:
        """Captured predictions."""
        from mlopsfw.serving.captures import Captures

        return Captures(self.workspace, self.tables)

    def recorder(self, spec: EndpointSpec, manifest: Manifest) -> Recorder:
        """Return what makes the captured predictions of one revision of an endpoint."""
        from mlopsfw.capturelog.times import Bounds
        from mlopsfw.serving.recorder import Recorder

        self.captures.check_place(spec.endpoint)
        bounds = Bounds.of(self.config.capture)
        return Recorder(spec, manifest, self.clock, self.privacy.requests(spec.pii), bounds)

    @cached_property
    def labels(self) -> Labels:
        """Labels that arrived."""
        from mlopsfw.serving.label_table import LabelTable
        from mlopsfw.serving.labels import Labels

        table = LabelTable(self.tables, self.captures, self.endpoints)
        return Labels(self.services, self.registry, self.personal_columns, self.config.capture, table)

    @cached_property
    def label_files(self) -> LabelFiles:
        """Labels that arrive in files."""
        from mlopsfw.serving.label_file import LabelFiles

        return LabelFiles(self.services, self.labels, self.registry, self.providers.formats)

    @cached_property
    def alerts(self) -> Alerts:
        """Alerts and their delivery."""
        from mlopsfw.alerts import Alerts

        alerters = [selection.called for selection in self.config.selections("alerter")]
        return Alerts(self.services, alerters, self.providers.alerter, self.texts)

    @cached_property
    def windows(self) -> Windows:
        """Captured predictions by event time."""
        from mlopsfw.monitoring.windows import Windows

        return Windows(self.captures, self.labels, self.registry, self.config.capture, self.metrics)

    @cached_property
    def monitoring(self) -> Monitoring:
        """The monitors at work."""
        from mlopsfw.monitoring.baseline import Baselines
        from mlopsfw.monitoring.examination import Monitoring
        from mlopsfw.monitoring.reasons import Reasons

        reasons = Reasons(self.services, self.registry, self.bundles, self.datasets)
        baselines = Baselines(self.blobs, self.registry, self.datasets, reasons)
        return Monitoring(self.services, self.providers.watching, self.windows, baselines, self.alerts)

    @cached_property
    def watcher(self) -> Watcher:
        """Watches endpoints."""
        from mlopsfw.monitoring.watch import Watcher

        return Watcher(self.services, self.monitoring, self.windows, self.alerts)

    @cached_property
    def doctor(self) -> Doctor:
        """Asks questions about all of it."""
        from mlopsfw.operations.doctor import Doctor

        return Doctor(self.components)
