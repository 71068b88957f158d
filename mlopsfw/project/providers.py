"""`Providers`: what the configuration selects, each built when it is first used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import ConfigError
from mlopsfw.kernel.config.model import ProjectConfig, Selection
from mlopsfw.kernel.config.validation import validation_error
from mlopsfw.kernel.roles.names import KINDS
from mlopsfw.project.answers import CHECKED, Checked
from mlopsfw.project.defaults import behind_border

if TYPE_CHECKING:
    from mlopsfw.data.intake.formats import Formats
    from mlopsfw.data.intake.sources import Intake
    from mlopsfw.kernel.plugins.manager import PluginManager
    from mlopsfw.kernel.roles.alerting import Alerter
    from mlopsfw.kernel.roles.bundle import Runtime
    from mlopsfw.kernel.roles.engine import Engine
    from mlopsfw.kernel.roles.host import Host
    from mlopsfw.kernel.roles.monitoring import Monitor
    from mlopsfw.kernel.roles.reading import Format
    from mlopsfw.kernel.roles.secrets import SecretStore
    from mlopsfw.kernel.roles.source import Source
    from mlopsfw.kernel.roles.storage import Storage
    from mlopsfw.kernel.roles.training import Trainer
    from mlopsfw.monitoring.examination import WatchingMonitor
    from mlopsfw.monitoring.settings import MonitorSettings
    from mlopsfw.serving.endpoints import NamedDeployer


class Providers:
    """The selected providers of one project.

    Args:
        plugins: The installed plugins.
        config: What is selected.
        host: Returns what a provider gets to see, by its kind, such as `trainer.torch`, and by its own name, such as `trainer.boosted`.
        closing: Closes what must be closed.
    """

    def __init__(
        self, plugins: PluginManager, config: ProjectConfig, host: Callable[[str, str], Host], closing: ExitStack
    ) -> None:
        self._plugins, self._config, self._host, self._closing = plugins, config, host, closing
        self._monitors: dict[str, Monitor] = {}
        self._trainers: dict[str, Trainer] = {}
        self._engines: dict[str, Engine] = {}
        self._deployers: dict[str, NamedDeployer] = {}

    def _build(self, role: str, selection: Selection) -> Any:
        host = self._host(f"{role}.{selection.use}", f"{role}.{selection.called}")
        claim, built = self._plugins.built(role, selection, self._config, host)
        provider = behind_border(built, claim)
        return Checked(provider, role) if role in CHECKED else provider

    @cached_property
    def storage(self) -> Storage:
        """Where everything is kept. Closed at the end, after all that was opened later."""
        storage: Storage = self._build("storage", self._config.selection("storage"))
        self._closing.callback(storage.close)
        return storage

    def trainer(self, name: str = "", options: Mapping[str, Any] | None = None) -> Trainer:
        """Return the trainer of a name, the default one for none; with `options`, one of its own that has these too."""
        from mlopsfw.project.trainers import CheckedTrainer, with_options

        [(_, selection)] = self._config.providers(f"trainer.{name}")
        if options or selection.called not in self._trainers:
            built = self._build("trainer", with_options(selection, options or {}))
            trainer = CheckedTrainer(built, self._plugins.catalog.find("trainer", selection.use), selection.called)
            if options:
                return trainer
            self._trainers[selection.called] = trainer
        return self._trainers[selection.called]

    def trainer_options(self, name: str, options: Mapping[str, Any]) -> tuple[str, msgspec.Struct]:
        """Return what a trainer is called, and its options with others on top.

        Raises:
            ConfigError: An option is wrong.
            PluginError: The space that the options suggest is none.
        """
        from mlopsfw.kernel.plugins.blame import blaming
        from mlopsfw.project.trainers import with_options
        from mlopsfw.training.search.space import Space

        [(_, selection)] = self._config.providers(f"trainer.{name}")
        _, provider, record = self._plugins.selected("trainer", with_options(selection, options), self._config)
        for option in provider.code:
            if option in options:  # the cache follows the code that the file names
                hint = "Write a [trainer.NAME] for each, and name them in `trainers`."
                raise self._config.error("it names code, which no search varies", f"trainer.{name}.{option}", hint=hint)
        with blaming(self._plugins.catalog.find("trainer", selection.use), f"{type(record).__name__}.search_space"):
            Space.of({selection.called: getattr(record, "search_space", {})}, {})
        return selection.called, record

    def deployer(self, name: str = "") -> NamedDeployer:
        """Return the deployer of a name, the default one for none."""
        from mlopsfw.serving.endpoints import NamedDeployer

        [(_, selection)] = self._config.providers(f"deployer.{name}")
        if selection.called not in self._deployers:
            self._deployers[selection.called] = NamedDeployer(selection.called, self._build("deployer", selection))
        return self._deployers[selection.called]

    def engine(self, name: str = "") -> Engine:
        """Return the engine of a name, the default one for none. Once it is closed, the next use makes another one."""
        [(_, selection)] = self._config.providers(f"engine.{name}")
        called = selection.called
        if called not in self._engines:
            self._engines[called] = self._build("engine", selection)
            self._closing.callback(self._close_engine, called)
        return self._engines[called]

    def close_engines(self) -> None:
        """Close every engine: a worker keeps what it imported, and the next use starts others."""
        for called in list(self._engines):
            self._close_engine(called)

    def _close_engine(self, called: str) -> None:
        if (engine := self._engines.pop(called, None)) is not None:
            engine.close()

    def monitor(self, name: str) -> Monitor:
        """Return a selected monitor."""
        if name not in self._monitors:
            selection = next(each for each in self._config.selections("monitor") if each.called == name)
            self._monitors[name] = self._build("monitor", selection)
        return self._monitors[name]

    def watching(self) -> dict[str, WatchingMonitor]:
        """Return the selected monitors by name, each with what its table says besides its options.

        One that cannot be built keeps no other from examining: what stands for it raises the error when it is asked.

        Raises:
            ConfigError: The options of a monitor are wrong.
        """
        from mlopsfw.monitoring.examination import WatchingMonitor
        from mlopsfw.monitoring.failed_monitor import FailedMonitor

        watching: dict[str, WatchingMonitor] = {}
        for each in self._config.selections("monitor"):
            try:
                monitor = self.monitor(each.called)
            except ConfigError:
                raise
            except Exception as error:  # noqa: BLE001 - raised when it is asked
                monitor = FailedMonitor(error)
            watching[each.called] = WatchingMonitor(monitor, self._settings(each))
        return watching

    def _settings(self, selection: Selection) -> MonitorSettings:
        from mlopsfw.monitoring.settings import MonitorSettings

        try:
            return msgspec.convert(selection.settings, MonitorSettings)
        except (msgspec.ValidationError, ConfigError) as error:
            raise validation_error(error, MonitorSettings, selection.key, self._config.error) from None

    def alerter(self, name: str) -> Alerter:
        """Return a selected alerter, built by itself: one that cannot be built does not keep the others from delivering."""
        selection = next(each for each in self._config.selections("alerter") if each.called == name)
        return self._limited("alerter", selection)  # type: ignore[no-any-return]

    def secret_store(self, scheme: str) -> SecretStore:
        """Return the store whose secrets references of this scheme name."""
        for _, name, missing in self._plugins.missing(self._config, "secrets"):
            if name == scheme:
                raise missing
        return self._limited("secrets", self._config.by_name("secrets", scheme))  # type: ignore[no-any-return]

    def _limited(self, role: str, selection: Selection) -> Any:
        """Build a provider of a role whose calls have a deadline."""
        from mlopsfw.kernel.plugins.blame import blame
        from mlopsfw.project.deadlines import Deadline, Limited, PluginTimeout, is_limit

        if not is_limit(selection.options.get("timeout", 1)):
            key = selection.options_key or selection.key
            raise self._config.error("must be a number of seconds above 0", f"{key}.timeout")
        deadline = Deadline(KINDS[role].timeout, selection.options)
        try:
            built = deadline.call(self._build, role, selection)
        except PluginTimeout as error:
            blame(error, self._plugins.catalog.find(role, selection.use), "build")
            raise
        return Limited(built, deadline, self._plugins.catalog.find(role, selection.use))

    def runtime(self, format: str) -> Runtime:  # noqa: A002 - the field's word
        """Return the runtime that loads bundles of `format`. Raise `UnknownFormat` where none is installed."""
        from mlopsfw.kernel.base.errors import UnknownFormat, UnknownName

        try:
            self._plugins.catalog.find("runtime", format)
        except UnknownName as error:
            raise UnknownFormat(f"no runtime loads bundles of format {format!r}", hint=error.hint) from None
        return self._build("runtime", self._config.by_name("runtime", format))  # type: ignore[no-any-return]

    @cached_property
    def formats(self) -> Formats:
        """The formats of files, each built when first used."""
        from mlopsfw.data.intake.formats import Formats

        return Formats([claim.name for claim in self._plugins.catalog.of("format")], self._format)

    def _format(self, name: str) -> Format:
        return self._build("format", self._config.by_name("format", name))  # type: ignore[no-any-return]

    @cached_property
    def intake(self) -> Intake:
        """What data comes in by: the formats, and the sources, each built when first used."""
        from mlopsfw.data.intake.sources import Intake, Sources

        # disabled ones too: a folder that is a table must not be read as plain files
        names = [claim.name for claim in self._plugins.catalog.claims if claim.kind == "source"]
        return Intake(self.formats, Sources(names, self._source))

    def _source(self, name: str) -> Source:
        return self._build("source", self._config.by_name("source", name))  # type: ignore[no-any-return]
