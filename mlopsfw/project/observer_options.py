"""The options of observers: read into the record with which an observer annotates its argument `options`, where it has one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import get_annotations
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import msgspec

from mlopsfw.kernel.base.errors import ConfigError, PluginError
from mlopsfw.kernel.plugins.manager import read_options

if TYPE_CHECKING:
    from mlopsfw.kernel.config.model import ProjectConfig
    from mlopsfw.kernel.plugins.catalog import Claim
    from mlopsfw.kernel.plugins.manager import PluginManager

HOOK = "mlopsfw_event"


def record_of(function: Callable[..., Any]) -> type[msgspec.Struct] | None:
    """Return the record that an observer reads its options into; None where it takes the table as it is.

    Args:
        function: Its `mlopsfw_event`, such as one with `options: AcmeOptions | None`.
    """
    annotations = {name: hint for name, hint in get_annotations(function).items() if name == "options"}
    names = getattr(function, "__globals__", {})
    try:  # the other annotations may name what is imported for a type checker alone
        hints = get_type_hints(SimpleNamespace(__annotations__=annotations), globalns=names)
    except NameError:
        return None
    kinds = (kind for hint in hints.values() for kind in (hint, *get_args(hint)))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, msgspec.Struct)), None)


def declared(plugins: PluginManager, claim: Claim) -> type[msgspec.Struct] | None:
    """Return the record of an installed observer, importing it; None where it has none. Raise `PluginError`."""
    function = getattr(plugins.load(claim), HOOK, None)
    return None if function is None else record_of(function)


def observer_options(record: type[msgspec.Struct], config: ProjectConfig, claim: Claim) -> msgspec.Struct | None:
    """Return what `[observer.NAME]` says; None where the file has no such table. Raise `ConfigError`."""
    if claim.name not in config.options.get(claim.kind, {}):
        return None
    return read_options(record, config.by_name(claim.kind, claim.name), config, claim)


def wrong_options(plugins: PluginManager, config: ProjectConfig) -> Iterator[ConfigError]:
    """Yield what is wrong with the tables of observers. One that cannot be imported has its own warning."""
    for claim in plugins.catalog.of("observer"):
        try:
            if claim.name in config.options.get("observer", {}) and (record := declared(plugins, claim)):
                observer_options(record, config, claim)
        except ConfigError as error:
            yield error
        except PluginError:
            continue
