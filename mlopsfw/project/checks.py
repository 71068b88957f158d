"""The checks `secrets`, `observers` and `pipeline` of doctor: references are resolved, and no value is kept or shown; options are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.base.errors import MlopsfwError, text_of
from mlopsfw.kernel.config.model import ProjectConfig
from mlopsfw.kernel.plugins.blame import blame_of
from mlopsfw.kernel.roles.check import Check, Diagnosis
from mlopsfw.kernel.roles.host import Secrets
from mlopsfw.kernel.roles.names import chosen_as
from mlopsfw.privacy.credentials import is_secret_name
from mlopsfw.project.observer_options import wrong_options

if TYPE_CHECKING:
    from mlopsfw.kernel.plugins.manager import PluginManager
    from mlopsfw.pipeline.run.session import Sessions
    from mlopsfw.project.kernel_wiring import KernelWiring
    from mlopsfw.project.wiring import Wiring

_KEYS = ("encrypt", "key")  # options of mlopsfw itself that are always references


def secret_check(parts: KernelWiring) -> Check:
    """Return the check. It uses the parts when it is asked."""
    summary = "Every secret that the configuration refers to can be read"
    return Check("secrets", summary, lambda: resolve_all(parts.config, parts.secrets))


def observer_check(parts: KernelWiring) -> Check:
    """Return the check. It uses the parts when it is asked."""
    summary = "Each observer reads its options"
    return Check("observers", summary, lambda: observers_read(parts.plugins, parts.config))


def pipeline_check(parts: Wiring) -> Check:
    """Return the check. It uses the parts when it is asked."""
    return Check("pipeline", "Each step reads its options, and finds nothing wrong", lambda: steps_read(parts.pipeline))


def steps_read(pipeline: Sessions) -> Iterator[Diagnosis]:
    """Check the pipeline as before a run."""
    yield Diagnosis("ok", f"{len(pipeline.check().nodes)} steps read their options")


def observers_read(plugins: PluginManager, config: ProjectConfig) -> Iterator[Diagnosis]:
    """Read the table of each observer that declares a record of its options."""
    for wrong in wrong_options(plugins, config):
        yield Diagnosis("error", wrong.message, wrong.hint)
    yield Diagnosis("ok", f"{len(config.options.get('observer', {}))} observers have options")


def resolve_all(config: ProjectConfig, secrets: Secrets) -> Iterator[Diagnosis]:
    """Resolve each reference, and name each that cannot be, with its keys.

    `file:PATH` may also be the place of a storage or a source: at an option whose name does not say that it is secret, doctor
    ignores it if it cannot be read.
    """
    keys: dict[str, list[str]] = {}
    for key, text in _options(config):
        if secrets.is_reference(text) and not (text.startswith("file:") and not _is_secret(key)):
            keys.setdefault(text, []).append(key)
    for reference, where in keys.items():
        if problem := _problem(reference, secrets):
            yield Diagnosis("error", f"{', '.join(dict.fromkeys(where))}: {problem[0]}", problem[1])
    count = f"{len(keys)} references to secrets" if len(keys) > 1 else "1 reference to a secret"
    yield Diagnosis("ok", f"{count} can be resolved" if keys else "no secret is referred to")


def _is_secret(key: str) -> bool:
    *_, above, name = ("", *key.split("."))
    return name in _KEYS or above == "headers" or is_secret_name(name) or is_secret_name(above)


def _problem(reference: str, secrets: Secrets) -> tuple[str, str] | None:
    """Return what keeps a secret from being read, and what to do; None where it can be."""
    try:
        secrets.resolve(reference)
    except Exception as error:  # noqa: BLE001 - a store that fails must not keep the others from being asked
        message = error.message if isinstance(error, MlopsfwError) else text_of(error)
        message = message if reference.partition(":")[2] in message else f"{reference}: {message}"
        return "; ".join(filter(None, (message, blame_of(error)))), getattr(error, "hint", "")
    return None


def _options(config: ProjectConfig) -> Iterator[tuple[str, str]]:
    """Yield the key and text of every option that may be a reference."""
    for _, selection in config.chosen(*chosen_as("one")):
        yield from _texts(selection.options, selection.options_key or f"{selection.key}.{selection.use}")
    yield from _texts(config.options)
    yield from _texts({name: step.params for name, step in config.steps.items()}, "steps")
    yield from _texts({"storage.encrypt": list(config.encryption.encrypt), "privacy.key": config.privacy.key})


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, key)
    elif isinstance(value, str):
        yield key, value
