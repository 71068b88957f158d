"""What a plugin implements and receives: the hook markers, the roles' protocols and their records."""

from __future__ import annotations

from mlopsfw.data.intake.object_store import open_store
from mlopsfw.kernel.base.ids import check_name, nearest
from mlopsfw.kernel.base.interrupts import interrupt
from mlopsfw.kernel.config.options import check_options
from mlopsfw.kernel.roles.alerting import Alert, AlertChange, Alerter, Receipt
from mlopsfw.kernel.roles.artifact import Artifact, ArtifactKind
from mlopsfw.kernel.roles.bundle import (
    TASK_OUTPUTS,
    Bundle,
    ColumnType,
    Dtype,
    Manifest,
    Model,
    OutputColumn,
    Runtime,
    ScalarType,
    SignatureColumn,
)
from mlopsfw.kernel.roles.check import Check, Diagnosis
from mlopsfw.kernel.roles.deployer import (
    BatchDeployer,
    Deployer,
    DeployerMode,
    EndpointSpec,
    EndpointStatus,
    ForegroundDeployer,
    Route,
    Scores,
)
from mlopsfw.kernel.roles.derived import Call, Column, Constant, Derived, DerivedType, Expression, Find
from mlopsfw.kernel.roles.engine import (
    Engine,
    EngineAbility,
    Failure,
    Handle,
    Launcher,
    Resources,
    StepResult,
    StepSpec,
)
from mlopsfw.kernel.roles.event import Event
from mlopsfw.kernel.roles.hookspecs import (
    PROJECT,
    hookimpl,
)
from mlopsfw.kernel.roles.host import (
    Blobs,
    Bundles,
    Capture,
    Clock,
    Host,
    Http,
    HttpAnswer,
    Progress,
    Secrets,
    State,
    StorageHost,
    Tables,
)
from mlopsfw.kernel.roles.metric import Metric, Metrics
from mlopsfw.kernel.roles.monitoring import Baseline, Finding, Monitor, Number, Report, Signals, Window
from mlopsfw.kernel.roles.names import API_VERSION, ROLES
from mlopsfw.kernel.roles.provider import Provider
from mlopsfw.kernel.roles.reading import MAX_RATIO, FileFacts, Format, ReadOptions, ReadRequest, RejectSink, TextFormat
from mlopsfw.kernel.roles.secrets import SecretStore
from mlopsfw.kernel.roles.source import (
    Received,
    RemoteFile,
    Source,
    SourceOption,
    SourceOptions,
    SourceRequest,
    SourceTable,
    TableFolder,
)
from mlopsfw.kernel.roles.step import Step
from mlopsfw.kernel.roles.storage import Entry, Storage, TableLocation, check_key, check_prefix, check_size
from mlopsfw.kernel.roles.training import (
    Ability,
    TrainedModel,
    Trainer,
    TrainingContext,
    TrainingData,
    TrainingTask,
)
from mlopsfw.models.bundle.files import read_listed, read_model
from mlopsfw.pipeline.graph.attempts import NEVER_BEGAN, thread_limits
from mlopsfw.pipeline.graph.parts import (
    Alerts,
    Endpoints,
    Examination,
    Models,
    ModelVersion,
    Monitoring,
    Runs,
    Trainers,
)
from mlopsfw.pipeline.graph.step import BundleFolder, StepContext
from mlopsfw.training.import_path import build_object, import_object

__all__ = [
    "API_VERSION",
    "MAX_RATIO",
    "NEVER_BEGAN",
    "PROJECT",
    "ROLES",
    "TASK_OUTPUTS",
    "Ability",
    "Alert",
    "AlertChange",
    "Alerter",
    "Alerts",
    "Artifact",
    "ArtifactKind",
    "Baseline",
    "BatchDeployer",
    "Blobs",
    "Bundle",
    "BundleFolder",
    "Bundles",
    "Call",
    "Capture",
    "Check",
    "Clock",
    "Column",
    "ColumnType",
    "Constant",
    "Deployer",
    "DeployerMode",
    "Derived",
    "DerivedType",
    "Diagnosis",
    "Dtype",
    "EndpointSpec",
    "EndpointStatus",
    "Endpoints",
    "Engine",
    "EngineAbility",
    "Entry",
    "Event",
    "Examination",
    "Expression",
    "Failure",
    "FileFacts",
    "Find",
    "Finding",
    "ForegroundDeployer",
    "Format",
    "Handle",
    "Host",
    "Http",
    "HttpAnswer",
    "Launcher",
    "Manifest",
    "Metric",
    "Metrics",
    "Model",
    "ModelVersion",
    "Models",
    "Monitor",
    "Monitoring",
    "Number",
    "OutputColumn",
    "Progress",
    "Provider",
    "ReadOptions",
    "ReadRequest",
    "Receipt",
    "Received",
    "RejectSink",
    "RemoteFile",
    "Report",
    "Resources",
    "Route",
    "Runs",
    "Runtime",
    "ScalarType",
    "Scores",
    "SecretStore",
    "Secrets",
    "Signals",
    "SignatureColumn",
    "Source",
    "SourceOption",
    "SourceOptions",
    "SourceRequest",
    "SourceTable",
    "State",
    "Step",
    "StepContext",
    "StepResult",
    "StepSpec",
    "Storage",
    "StorageHost",
    "TableFolder",
    "TableLocation",
    "Tables",
    "TextFormat",
    "TrainedModel",
    "Trainer",
    "Trainers",
    "TrainingContext",
    "TrainingData",
    "TrainingTask",
    "Window",
    "build_object",
    "check_key",
    "check_name",
    "check_options",
    "check_prefix",
    "check_size",
    "hookimpl",
    "import_object",
    "interrupt",
    "nearest",
    "open_store",
    "read_listed",
    "read_model",
    "thread_limits",
]
