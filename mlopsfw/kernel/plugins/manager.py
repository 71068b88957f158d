"""Load plugins when their name is selected, keep the broken ones apart, and tell observers what happened."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import pluggy

from mlopsfw.kernel.base.errors import ConfigError, PluginBroken, PluginConflict, PluginError, UnknownName, text_of
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.events.authority import actor_of, copy
from mlopsfw.kernel.plugins.blame import Blamed, blaming, warn, watched
from mlopsfw.kernel.plugins.catalog import Catalog, Claim, noun_of
from mlopsfw.kernel.roles import hookspecs
from mlopsfw.kernel.roles.names import KINDS
from mlopsfw.kernel.roles.provider import Provider

if TYPE_CHECKING:
    import click

    from mlopsfw.kernel.config.model import ProjectConfig, Selection
    from mlopsfw.kernel.roles.event import Event
    from mlopsfw.kernel.roles.host import Host


T = TypeVar("T")
_YIELD = "A hook yields Providers (of mlopsfw), and mlopsfw_commands click commands: yield Provider(…)."

SLOW = 3.0  # seconds that an import may take before a warning names the plugin


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
        self._loading = threading.RLock()  # observers are called on threads of their own
        for name in self.catalog.disabled:
            self._manager.set_blocked(name)

    def load(self, claim: Claim) -> Any:
        """Import and register the claim's module; return it. Raise `PluginBroken` with the cause."""
        with self._loading:
            if claim in self._broken:
                raise self._quarantined(claim)
            registered = self._manager.get_plugin(claim.module)
            if registered is not None:
                return registered
            slow = threading.Timer(SLOW, warn, [f"{claim} is still being imported after {SLOW:g} s"])
            slow.daemon = True
            slow.start()
            try:
                with blaming(claim, "import"):
                    plugin = _import(claim.module)
                    self._manager.register(plugin, name=claim.module)
                    self._manager.check_pending()
            except Exception as error:
                if self._manager.get_plugin(claim.module) is not None:
                    self._manager.unregister(name=claim.module)  # its unknown hooks would fail every later plugin
                self._broken[claim] = error
                warn(f"{claim} cannot be loaded and is disabled: {text_of(error)}")
                raise self._quarantined(claim) from error
            finally:
                slow.cancel()
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
        return claim, self._offered(plugin, claim, Provider)

    def build(self, role: str, selection: Selection, config: ProjectConfig, host: Host) -> Any:
        """Build what `selection` selects: read its options into the provider's config, then call `build` with blame."""
        claim, built = self.built(role, selection, config, host)
        return Blamed(built, claim, role)

    def built(self, role: str, selection: Selection, config: ProjectConfig, host: Host) -> tuple[Claim, Any]:
        """Build as `build`, but return the claim and what was built, not behind the border."""
        claim, provider, options = self.selected(role, selection, config)
        with blaming(claim, "build"):
            if (built := provider.build(options, host)) is None:
                raise PluginError(f"it returned None instead of a {noun_of(role)}")
            return claim, built

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

    def implements(self, claim: Claim, hook: str) -> bool:
        """Return whether a plugin has the hook, importing it."""
        return bool(self._caller(self.load(claim), hook).get_hookimpls())

    def _caller(self, plugin: Any, hook: str) -> pluggy.HookCaller:
        """Return the hook with this one plugin's implementation."""
        return self._manager.subset_hook_caller(hook, [p for p in self._manager.get_plugins() if p is not plugin])

    def _offered(self, plugin: Any, claim: Claim, kind: type[T]) -> T:
        """Return what the hook yields under the claim's name. Raise `PluginBroken` where it yields anything else."""
        hook = KINDS[claim.kind].spec
        with blaming(claim, hook):
            offers = self._caller(plugin, hook)()
            if wrong := [each for each in offers if isinstance(each, kind | str) or not isinstance(each, Iterable)]:
                raise PluginBroken(f"{claim}: {hook} returns a {type(wrong[0]).__name__}", hint=_YIELD)
            items = [item for offer in offers for item in offer]
            if wrong := [each for each in items if not isinstance(each, kind)]:
                raise PluginBroken(f"{claim}: {hook} yields a {type(wrong[0]).__name__}", hint=_YIELD)
            offered: dict[str, T] = {item.name: item for item in items}
            if claim.name not in offered:
                message = f"{claim} offers no {claim.kind} called {claim.name!r}: its hook {hook} yields "
                message += ", ".join(map(repr, offered)) or "nothing"
                raise PluginBroken(message, hint="The entry point and what the hook yields must carry the same name.")
            if isinstance(provider := offered[claim.name], Provider):
                _check_provider(claim, provider)
        return offered[claim.name]

    def missing(self, config: ProjectConfig, *kinds: str) -> Iterator[tuple[str, str, ConfigError]]:
        """Yield kind, name and error of each table of options, as `[format.csv]`, for what is not installed."""
        for kind in kinds or config.options:
            installed = {claim.name for claim in self.catalog.claims if claim.kind == kind}
            for name in config.options.get(kind, {}):
                if name not in installed:
                    near = nearest(name, {claim.name for claim in self.catalog.of(kind)})
                    hint = f"{near} Else install the package with the entry point {kind}.{name}, or remove the table."
                    message = f"no installed {noun_of(kind)} is called {name!r}"
                    yield kind, name, config.error(message, f"{kind}.{name}", hint=hint)

    @cached_property
    def _observers(self) -> tuple[Claim, ...]:
        """The observers. If two observers share a name, neither is called."""
        observers, clashes = [], dict[str, PluginConflict]()
        for claim in self.catalog.of("observer"):
            try:
                observers.append(self.catalog.find("observer", claim.name))
            except PluginConflict as error:
                clashes[claim.name] = error
        for clash in clashes.values():
            warn(f"{clash.message}, and neither gets an event. {clash.hint}")
        return tuple(observers)

    def notify(
        self,
        event: Event,
        host: Callable[[str], Host],
        options: Mapping[str, Mapping[str, Any]],
        call: Callable[..., object] = lambda _, function, given: function(**given),
    ) -> None:
        """Tell every observer of `event`. An observer that raises is warned about; it never ends a run.

        Args:
            event: What happened; each observer gets a copy, and none of what it appended itself.
            host: Claim's key → what that observer may use of the kernel.
            options: Observer's name → its options.
            call: Calls an observer's function with these arguments.
        """
        for claim in self._observers:
            if event.actor == actor_of(claim.key):  # it would answer itself for ever
                continue
            try:
                plugin = self.load(claim)
                with blaming(claim, "mlopsfw_event"):
                    own = deepcopy(dict(options.get(claim.name, {})))
                    arguments = {"event": copy(event), "host": host(claim.key), "options": own}
                    call(claim, self._caller(plugin, "mlopsfw_event"), arguments)
            except PluginBroken:
                continue  # warned about when it was set aside
            except Exception as error:  # noqa: BLE001 - the promise is that no observer can end a run
                warn(f"{claim} failed on {event.type}: {text_of(error)}")

    def command(self, name: str) -> click.Command:
        """Return the verb `name` of the plugin that claims it."""
        claim = self.catalog.find("command", name)
        import click

        return _contained(self._offered(self.load(claim), claim, click.Command), claim)


def _check_provider(claim: Claim, provider: Provider[Any]) -> None:
    config = provider.config
    strict = isinstance(config, type) and issubclass(config, msgspec.Struct)
    if not strict or not config.__struct_config__.forbid_unknown_fields:
        name = getattr(config, "__name__", repr(config))
        message = f"{claim}: its config {name} is no msgspec.Struct with forbid_unknown_fields=True"
        raise PluginBroken(message, hint=f"class {name}(msgspec.Struct, frozen=True, forbid_unknown_fields=True): …")
    if not callable(provider.build) or not isinstance(provider.summary, str):
        raise PluginBroken(f"{claim}: its Provider needs a function to build with and a text as summary", hint=_YIELD)


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
    from mlopsfw.kernel.config.validation import validation_error

    key = selection.options_key or f"{selection.key}.{selection.use}"
    options = selection.options
    if KINDS[claim.kind].timeout and "timeout" not in kind.__struct_fields__:  # mlopsfw alone keeps to it
        options = {name: value for name, value in options.items() if name != "timeout"}
    try:
        with blaming(claim, "its config"):  # a struct may have code of its own
            return msgspec.convert(options, kind)
    except (msgspec.ValidationError, ConfigError) as error:
        raise validation_error(error, kind, key, config.error, besides=selection.besides) from None
