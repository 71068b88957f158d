"""Load plugins when their name is selected, keep the broken ones apart, and tell observers what happened."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import msgspec
import pluggy

from mlopsfw.kernel.base.errors import ConfigError, PluginBroken, PluginError, UnknownName, text_of
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.events.authority import actor_of, copy
from mlopsfw.kernel.plugins.blame import Blamed, blaming, warn, watched
from mlopsfw.kernel.plugins.catalog import Catalog, Claim
from mlopsfw.kernel.roles import hookspecs
from mlopsfw.kernel.roles.names import KINDS
from mlopsfw.kernel.roles.provider import Provider

if TYPE_CHECKING:
    import click

    from mlopsfw.kernel.config.model import ProjectConfig, Selection
    from mlopsfw.kernel.roles.event import Event
    from mlopsfw.kernel.roles.host import Host


class PluginManager:
    """The plugins of one project.

    Args:
        catalog: Which claims there are.

    A plugin that fails while it is imported or registered is quarantined: one warning, and `PluginBroken` with the
    stored cause whenever its name is selected.
    """

    def __init__(self, catalog: Catalog | None = None) -> None:
        self.catalog = catalog or Catalog()
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._broken: dict[Claim, Exception] = {}
        for name in self.catalog.disabled:
            self._manager.set_blocked(name)

    def load(self, claim: Claim) -> Any:
        """Import and register the claim's module; return it. Raise `PluginBroken` with the cause."""
        if claim in self._broken:
            raise self._quarantined(claim)
        registered = self._manager.get_plugin(claim.module)
        if registered is not None:
            return registered
        try:
            with blaming(claim, "import"):
                plugin = _import(claim.module)
                self._manager.register(plugin, name=claim.module)
                self._manager.check_pending()
        except Exception as error:
            self._broken[claim] = error
            warn(f"{claim} cannot be loaded and is disabled: {text_of(error)}")
            raise self._quarantined(claim) from error
        return plugin

    def _quarantined(self, claim: Claim) -> PluginBroken:
        cause = self._broken[claim]
        broken = PluginBroken(
            f"{claim} failed when it was loaded: {text_of(cause)}",
            hint=f"Reinstall or upgrade {claim.distribution}, or disable {claim.key!r}; --traceback shows the cause.",
        )
        broken.__cause__ = cause
        return broken

    def provider(self, role: str, name: str) -> tuple[Claim, Provider[Any]]:
        """Return the claim to `role.name` and the provider behind it, importing that plugin alone.

        Raises:
            UnknownName, PluginConflict, PluginApiMismatch: As `Catalog.find`.
            PluginBroken: It fails at import, or offers no provider of that name.
        """
        claim = self.catalog.find(role, name)
        plugin = self.load(claim)
        hook = KINDS[role].spec
        with blaming(claim, hook):
            offered = {p.name: p for p in self._call(plugin, hook)}
        if name not in offered:
            raise PluginBroken(
                f"{claim} offers no {role} called {name!r}: its hook {hook} yields {sorted(offered) or 'nothing'}",
                hint="The entry point and the Provider must carry the same name.",
            )
        return claim, offered[name]

    def build(self, role: str, selection: Selection, config: ProjectConfig, host: Host) -> Any:
        """Build what `selection` selects: read its options into the provider's config, then call `build` with blame."""
        claim, built = self._built(role, selection, config, host)
        return Blamed(built, claim, role)

    def _built(self, role: str, selection: Selection, config: ProjectConfig, host: Host) -> tuple[Claim, Any]:
        claim, provider, options = self.selected(role, selection, config)
        with blaming(claim, "build"):
            return claim, provider.build(options, host)

    def selected(
        self, role: str, selection: Selection, config: ProjectConfig
    ) -> tuple[Claim, Provider[Any], msgspec.Struct]:
        """Return what `selection` selects, and its options as the provider's config; nothing is built.

        Raises:
            ConfigError: Nobody provides it, or its options are wrong; with the line in the file.
            PluginError: As `provider`.
        """
        try:
            claim, provider = self.provider(role, selection.use)
        except UnknownName as error:
            raise config.error(error.message, f"{selection.key}.use", hint=error.hint) from None
        return claim, provider, read_options(provider.config, selection, config, claim)

    def _caller(self, plugin: Any, hook: str) -> pluggy.HookCaller:
        """Return the hook with this one plugin's implementation."""
        return self._manager.subset_hook_caller(hook, [p for p in self._manager.get_plugins() if p is not plugin])

    def _call(self, plugin: Any, hook: str) -> list[Any]:
        return [item for offer in self._caller(plugin, hook)() for item in offer]

    def check_options(self, config: ProjectConfig) -> None:
        """Raise `ConfigError` where `config` has options by name, as `[format.csv]`, for what is not installed."""
        for kind, options in config.options.items():
            installed = {claim.name for claim in self.catalog.claims if claim.kind == kind}
            for name in options:
                if name not in installed:
                    hint = nearest(name, {claim.name for claim in self.catalog.of(kind)})
                    raise config.error(f"no installed {kind} is called {name!r}", f"{kind}.{name}", hint=hint)

    def notify(self, event: Event, host: Callable[[str], Host], options: Mapping[str, Mapping[str, Any]]) -> None:
        """Tell every observer of `event`. An observer that raises is warned about; it never ends a run.

        Args:
            event: What happened; each observer gets a copy, and none of what it appended itself.
            host: Claim's key → what that observer may use of the kernel.
            options: Observer's name → its options.
        """
        for claim in self.catalog.of("observer"):
            if event.actor == actor_of(claim.key):  # it would answer itself for ever
                continue
            try:
                plugin = self.load(claim)
                with blaming(claim, "mlopsfw_event"):
                    own = deepcopy(options.get(claim.name, {}))
                    arguments = {"event": copy(event), "host": host(claim.key), "options": own}
                    self._caller(plugin, "mlopsfw_event")(**arguments)
            except PluginBroken:
                continue  # warned about when it was set aside
            except Exception as error:  # noqa: BLE001 - the promise is that no observer can end a run
                warn(f"{claim} failed on {event.type}: {text_of(error)}")

    def command(self, name: str) -> click.Command:
        """Return the verb `name` of the plugin that claims it."""
        claim = self.catalog.find("command", name)
        plugin = self.load(claim)
        with blaming(claim, "mlopsfw_commands"):
            commands = {c.name: c for c in self._call(plugin, "mlopsfw_commands")}
        if name not in commands:
            raise PluginError(f"{claim} provides no command {name!r}", hint=nearest(name, [str(c) for c in commands]))
        return _contained(commands[name], claim)

    def components(self, config: ProjectConfig, host: Callable[[str], Host]) -> Iterator[tuple[Claim, Any]]:
        """Yield what every installed plugin of a component built, or the error that kept it from being built.

        A disabled one is not there. One that two distributions claim, or of another version of the hooks, is an error.

        Args:
            config: The project's; `[component.NAME]` holds a component's options.
            host: Claim's key → what that component may use of the kernel.
        """
        claims = {claim.key: claim for claim in self.catalog.claims if not self.catalog.is_disabled(claim)}
        for claim in (claim for claim in claims.values() if claim.kind == "component"):
            selection = config.by_name("component", claim.name)
            try:
                yield self._built("component", selection, config, host(claim.key))
            except ConfigError:
                raise  # the user's own file
            except Exception as error:  # noqa: BLE001 - what is broken must not keep the project from being opened
                yield claim, error


def _contained(command: click.Command, claim: Claim) -> click.Command:
    """Return the command with all that click calls of it behind the border. Usage errors and exit codes pass."""
    for method in ("make_context", "invoke"):
        setattr(command, method, watched(getattr(command, method), claim, f"the command {command.name}"))
    return command


def _import(target: str) -> Any:
    module, _, attribute = target.partition(":")
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found


def read_options(
    kind: type[msgspec.Struct], selection: Selection, config: ProjectConfig, claim: Claim
) -> msgspec.Struct:
    """Read a selection's options into a provider's config struct; errors point at the line in the file."""
    from mlopsfw.kernel.config.load import validation_error

    key = selection.options_key or f"{selection.key}.{selection.use}"
    try:
        with blaming(claim, "its config"):  # a struct may have code of its own
            return msgspec.convert(selection.options, kind)
    except msgspec.ValidationError as error:
        raise validation_error(error, kind, key, config.error, besides=selection.besides) from None
