"""The hooks that plugins implement: every one of them, and nothing else.

A plugin is a module (or object) named by an entry point in the group `mlopsfw.v1`. The entry point is called after what
it holds: `trainer.torch`, `step.join`, `command.acme`, `observer.acme`, `component.acme`. The kernel lists and selects
plugins by these names and imports one only when its name is selected (observers: when a run starts; components: when a
project is opened).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click

    from mlopsfw.kernel.roles.alerting import Alerter
    from mlopsfw.kernel.roles.bundle import Runtime
    from mlopsfw.kernel.roles.deployer import Deployer
    from mlopsfw.kernel.roles.engine import Engine
    from mlopsfw.kernel.roles.event import Event
    from mlopsfw.kernel.roles.host import Host
    from mlopsfw.kernel.roles.metric import Metric
    from mlopsfw.kernel.roles.monitoring import Monitor
    from mlopsfw.kernel.roles.provider import Provider
    from mlopsfw.kernel.roles.reading import Format
    from mlopsfw.kernel.roles.secrets import SecretStore
    from mlopsfw.kernel.roles.source import Source
    from mlopsfw.kernel.roles.step import Step
    from mlopsfw.kernel.roles.storage import Storage
    from mlopsfw.kernel.roles.training import Trainer

PROJECT = "mlopsfw"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

# -- roles: each returns providers, of which config selects one by name ------------------------------------------------


@hookspec
def mlopsfw_storages() -> Iterable[Provider[Storage]]:
    """Offer places that keep bytes.

    Example::

        @hookimpl
        def mlopsfw_storages():
            yield Provider("acme", AcmeConfig, lambda config, host: AcmeStorage(config.bucket), "Acme's vault")
    """
    raise NotImplementedError


@hookspec
def mlopsfw_trainers() -> Iterable[Provider[Trainer]]:
    """Offer ways to learn a model from tables.

    Example::

        @hookimpl
        def mlopsfw_trainers():
            yield Provider("boost", BoostConfig, build, "Gradient boosting")
    """
    raise NotImplementedError


@hookspec
def mlopsfw_runtimes() -> Iterable[Provider[Runtime]]:
    """Offer loaders of bundle formats; a provider's name is the format it loads.

    Example::

        @hookimpl
        def mlopsfw_runtimes():
            yield Provider("onnx", OnnxConfig, build, "ONNX Runtime")
    """
    raise NotImplementedError


@hookspec
def mlopsfw_deployers() -> Iterable[Provider[Deployer]]:
    """Offer ways to serve a bundle.

    Example::

        @hookimpl
        def mlopsfw_deployers():
            yield Provider("http", HttpConfig, build, "A server on this machine")
    """
    raise NotImplementedError


@hookspec
def mlopsfw_monitors() -> Iterable[Provider[Monitor]]:
    """Offer ways to examine captured predictions.

    Example::

        @hookimpl
        def mlopsfw_monitors():
            yield Provider("drift", DriftConfig, build, "Drift of inputs and outputs")
    """
    raise NotImplementedError


@hookspec
def mlopsfw_alerters() -> Iterable[Provider[Alerter]]:
    """Offer ways to hand an alert over.

    Example::

        @hookimpl
        def mlopsfw_alerters():
            yield Provider("pager", PagerConfig, build, "Acme's pager")
    """
    raise NotImplementedError


@hookspec
def mlopsfw_engines() -> Iterable[Provider[Engine]]:
    """Offer places where steps run.

    Example::

        @hookimpl
        def mlopsfw_engines():
            yield Provider("ray", RayConfig, build, "A Ray cluster")
    """
    raise NotImplementedError


@hookspec
def mlopsfw_steps() -> Iterable[Provider[Step]]:
    """Offer steps of a pipeline. A provider's config is read from the step's own table, `[steps.NAME]`.

    Example::

        def build(config, host):
            def run(context):
                return {"rows": context.load("rows").drop_nulls(config.column)}

            return Step(run=run, inputs=("rows",), outputs=("rows",))

        @hookimpl
        def mlopsfw_steps():
            yield Provider("acme-clean", CleanConfig, build, "Drop the rows that lack a value")
    """
    raise NotImplementedError


@hookspec
def mlopsfw_formats() -> Iterable[Provider[Format]]:
    """Offer readers of files; a provider's name is the suffix that it reads, without the dot.

    Each suffix has an entry point of its own (`format.avro`), so that reading one file imports one plugin.

    Example::

        @hookimpl
        def mlopsfw_formats():
            yield Provider("avro", AvroConfig, build, "Avro containers")
    """
    raise NotImplementedError


@hookspec
def mlopsfw_sources() -> Iterable[Provider[Source]]:
    """Offer places that data comes from; a provider's name is the URL scheme that it reads, such as `sftp`.

    A name with a slash is a mark instead: what a folder holds that is a table of this kind (`_delta_log/`). Each name
    has an entry point of its own (`source.sftp`), so that reading one place imports one plugin.

    Example::

        @hookimpl
        def mlopsfw_sources():
            yield Provider("sftp", SftpConfig, build, "Files of an SFTP server")
    """
    raise NotImplementedError


@hookspec
def mlopsfw_metrics() -> Iterable[Provider[Metric]]:
    """Offer metrics of models. Every installed one is computed for the tasks that it names.

    Each metric has an entry point of its own (`metric.cost`). Gates, comparisons and monitors know it by that name.

    Example::

        def build(config, host):
            def cost(labels, outputs, weight):
                wrong = (next(iter(outputs.values())) >= 0.5) != (labels == 1)
                return float(np.average(wrong * config.price, weights=weight))

            return Metric(compute=cost, higher_is_better=False, tasks=("binary",))

        @hookimpl
        def mlopsfw_metrics():
            yield Provider("cost", CostConfig, build, "What wrong answers cost")
    """
    raise NotImplementedError


@hookspec
def mlopsfw_secrets() -> Iterable[Provider[SecretStore]]:
    """Offer stores of secrets; a provider's name is the scheme of its references, such as `vault:`.

    Each scheme has an entry point of its own (`secrets.vault`), so that resolving one reference imports one plugin.
    `env:` and `file:` are mlopsfw's own.

    Example::

        @hookimpl
        def mlopsfw_secrets():
            yield Provider("keyring", KeyringConfig, build, "The keyring of this machine")
    """
    raise NotImplementedError


# -- observers and tools -----------------------------------------------------------------------------------------------


@hookspec
def mlopsfw_event(event: Event, host: Host, options: Any) -> None:
    """Observe an event after it was appended to the ledger. An implementation names the arguments that it wants.

    Called in the coordinating process. An exception is logged and never ends a run; an exporter that must not miss an
    event reads the ledger by cursor instead. The options are what `[observer.NAME]` says: an unread dict, empty without
    such a table; or, annotated as `AcmeOptions | None`, that record, read and checked before the first event.

    Example::

        @hookimpl
        def mlopsfw_event(event):
            if event.type == "alias.moved":
                announce(event.body["alias"], event.body["version"])
    """


@hookspec
def mlopsfw_commands() -> Iterable[click.Command]:
    """Add verbs to the command line. The entry point `command.NAME` adds the verb NAME, imported when it is called.

    Example::

        @hookimpl
        def mlopsfw_commands():
            yield acme_command
    """
    raise NotImplementedError


@hookspec
def mlopsfw_components() -> Iterable[Provider[Any]]:
    """Offer components (`mlopsfw.components.Component`).

    A component says what a part of the project contributes to lineage, erasure, retention, the index and `doctor`.

    Every installed component takes part in every project. Its events and streams are those of its plugin:
    `plugin.component.NAME.…` in `plugin/component.NAME`.

    Example::

        @hookimpl
        def mlopsfw_components():
            yield Provider("features", FeaturesConfig, build, "Acme's feature store")
    """
    raise NotImplementedError
