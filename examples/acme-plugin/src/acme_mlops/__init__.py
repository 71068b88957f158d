"""Acme's plugin for mlopsfw: a storage in one SQLite file, an alerter that appends to a log file, a step, a format of files, and a source.

It is shaped exactly like a bundled plugin: config records, one hook implementation per role, heavy imports inside `build`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from mlopsfw import Provider, hookimpl

if TYPE_CHECKING:
    from click import Command

    from acme_mlops.alerter import AcmeAlerter
    from acme_mlops.format import AcmeFormat
    from acme_mlops.source import AcmeSource
    from acme_mlops.storage import AcmeStorage
    from mlopsfw.components import Component
    from mlopsfw.roles import Host, Step


class StorageConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[storage.acme]`: `file` is the database, relative to the project."""

    file: str = "acme.sqlite"


class AlerterConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[alerter.acme]` under `[[alerter]]`: `log` is the file to append to, relative to the project."""

    log: str = "acme-alerts.jsonl"


class CleanConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[steps.NAME]` with `use = "acme-clean"`: rows without a value in `columns`, or doubled, are left out."""

    columns: tuple[str, ...] = ()
    alert_above: float = 1.0


class FormatConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[format.acme]`: `separator` stands between fields."""

    separator: str = "|"


class SourceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[source.acme]`: `share` is the folder into which the halls' machines write, relative to the project."""

    share: str = "halls"


def _build_storage(config: StorageConfig, host: Host) -> AcmeStorage:
    from acme_mlops.storage import AcmeStorage

    return AcmeStorage(host.root / config.file)


def _build_alerter(config: AlerterConfig, host: Host) -> AcmeAlerter:
    from acme_mlops.alerter import AcmeAlerter

    return AcmeAlerter(host.root / config.log)


class FeaturesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[component.features]`: there is nothing to set."""


def _build_features(_config: FeaturesConfig, host: Host) -> Component:
    from acme_mlops.features import features_component

    return features_component(host)


def _build_clean(config: CleanConfig, _host: Host) -> Step:
    from acme_mlops.clean import clean_step

    return clean_step(config.columns, config.alert_above)


def _build_format(config: FormatConfig, _host: Host) -> AcmeFormat:
    from acme_mlops.format import AcmeFormat

    return AcmeFormat(config.separator)


def _build_source(config: SourceConfig, host: Host) -> AcmeSource:
    from acme_mlops.source import AcmeSource

    return AcmeSource(host.root / config.share)


@hookimpl
def mlopsfw_storages() -> Iterable[Provider[AcmeStorage]]:
    """Offer the SQLite storage."""
    yield Provider("acme", StorageConfig, _build_storage, "Acme's vault: one SQLite file")


@hookimpl
def mlopsfw_alerters() -> Iterable[Provider[AcmeAlerter]]:
    """Offer the log-file alerter."""
    yield Provider("acme", AlerterConfig, _build_alerter, "Acme's alert log")


@hookimpl
def mlopsfw_components() -> Iterable[Provider[Component]]:
    """Offer the feature store."""
    yield Provider("features", FeaturesConfig, _build_features, "Acme's feature store")


@hookimpl
def mlopsfw_commands() -> Iterable[Command]:
    """Offer the verb that fills the feature store."""
    from acme_mlops.verbs import build

    yield build


@hookimpl
def mlopsfw_steps() -> Iterable[Provider[Step]]:
    """Offer the step that cleans rows."""
    yield Provider("acme-clean", CleanConfig, _build_clean, "Leave out rows that lack a value or are doubled")


@hookimpl
def mlopsfw_formats() -> Iterable[Provider[AcmeFormat]]:
    """Offer the format of Acme's counters, by its suffix."""
    yield Provider("acme", FormatConfig, _build_format, "Acme's counters: whole numbers and names")


@hookimpl
def mlopsfw_sources() -> Iterable[Provider[AcmeSource]]:
    """Offer the files of Acme's halls, by the scheme of their URLs."""
    yield Provider("acme", SourceConfig, _build_source, "Files that the machines of Acme's halls write")
