"""The kinds of plugins, one record each: what configuration, selection, listing, schema and cache key ask of a kind."""

from __future__ import annotations

from typing import Literal, NamedTuple

API_VERSION = 1
"""The major version of the hooks; the entry-point group is `mlopsfw.v<API_VERSION>`."""


class Kind(NamedTuple):
    """A kind of plugin, and how a project comes to use one.

    Args:
        name: The first part of an entry point's name, and the table of `mlopsfw.toml`.
        choice: How a project chooses: `one` provider (`[storage]`), `many` (`[[monitor]]`), by `name` (what is read or
            named chooses, as a suffix does; `[format.csv]` has options), a `step` (`[steps.NAME]`), `all` that are
            installed take part (`[observer.NAME]` has options), or a `verb` of the command line.
        builds: What a provider builds, as `mlopsfw.roles` or `mlopsfw.components` calls it; empty where the hook yields
            no providers.
        default: The provider where the configuration chooses none.
        hook: The hook, where it is not called after the kind.
        by_step: Whether a step, or a verb, may say which provider it uses, so that none need be the default.
        parts: Methods that return an object, or a list of them, whose own methods the kernel calls → what that is.
        about_data: Whether errors of mlopsfw's own tree are about what a user gave it: no fault of the plugin's.
        settings: Keys beside `use` that a room reads, not the plugin.
        timeout: After how many seconds a call has failed, where the plugin's options have no `timeout`; 0 for no limit.
        frequent: Whether it is called too often to see to SIGINT each time. The command line and workers do so once.
        reserved: Names that are mlopsfw's own: no plugin may claim them.
        noun: What messages call a provider, where that is not the kind's name.
    """

    name: str
    choice: Literal["one", "many", "name", "step", "all", "verb"]
    builds: str = ""
    default: str = ""
    hook: str = ""
    by_step: bool = False
    parts: tuple[tuple[str, str], ...] = ()
    about_data: bool = False
    settings: tuple[str, ...] = ()
    timeout: float = 0.0
    frequent: bool = False
    reserved: tuple[str, ...] = ()
    noun: str = ""

    @property
    def spec(self) -> str:
        """The name of its hook."""
        return self.hook or f"mlopsfw_{self.name}s"


_RESULTS = ("bundle", "rows", "baseline", "against_baseline", "segments", "compare", "size", "latency", "bias",
            "robustness", "importance", "intervals")  # fmt: skip
_ALL = (
    Kind("storage", "one", "Storage", default="object", frequent=True),
    Kind("trainer", "one", "Trainer", default="torch", by_step=True),
    Kind("runtime", "name", "Runtime", parts=(("load", "model"),)),
    Kind("deployer", "one", "Deployer", default="http", by_step=True),
    Kind("monitor", "many", "Monitor", settings=("alarm", "share", "models", "endpoints", "reference", "explain")),
    Kind("alerter", "many", "Alerter", timeout=30.0),
    Kind("engine", "one", "Engine", default="local", by_step=True, parts=(("submit", "handle"),)),
    Kind("step", "step", "Step"),
    Kind("format", "name", "Format", about_data=True),
    Kind("source", "name", "Source", parts=(("find", "place"),), about_data=True),
    Kind("metric", "name", "Metric", reserved=_RESULTS),
    Kind(
        "secrets",
        "name",
        "SecretStore",
        hook="mlopsfw_secrets",
        about_data=True,
        timeout=30.0,
        reserved=("env", "file"),
        noun="secret store",
    ),
    Kind("observer", "all", hook="mlopsfw_event", timeout=10.0),
    Kind("command", "verb"),
    Kind("component", "all", "Component"),
)

KINDS = {kind.name: kind for kind in _ALL}
"""Every kind of plugin by name."""

ROLES = tuple(kind.name for kind in _ALL if kind.choice not in ("all", "verb"))
"""The roles selected by name. A format is called as its suffix, a source and a secret store as
their scheme, a source also as the mark of its folders."""


def chosen_as(*choices: str) -> tuple[str, ...]:
    """Return the names of the kinds that a project chooses in one of these ways."""
    return tuple(kind.name for kind in KINDS.values() if kind.choice in choices)
