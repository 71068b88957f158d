"""What a configuration says, as frozen records.

Reading the file is `load`'s; what a plugin's options mean is the plugin's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from mlopsfw.kernel.base.errors import ConfigError
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.roles.engine import Resources
from mlopsfw.kernel.roles.names import KINDS, chosen_as


class Selection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider chosen by name.

    Args:
        use: The provider's kind.
        name: What it is called; as its kind where it is empty.
        options: Its own configuration, still unread: the plugin's `config` struct decides.
        key: Where it stands in the file, such as `trainer` or `monitor.0`.
        options_key: Where its options stand; in a table called after the provider where it is empty.
        besides: Keys that may stand beside its options, for hints.
        settings: What mlopsfw reads of it, such as which models a monitor is for.
    """

    use: str
    name: str = ""
    options: dict[str, Any] = {}
    key: str = ""
    options_key: str = ""
    besides: tuple[str, ...] = ()
    settings: dict[str, Any] = {}

    @property
    def called(self) -> str:
        """Its name, else its kind."""
        return self.name or self.use


class Encryption(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `[storage]` says besides the provider.

    Args:
        encrypt: References to the keys of blobs, such as `env:NAME`, the one for new rings first; none: as they are.
        tables: `encrypted-disk` declares that what tables lie on is encrypted by others; else, with `encrypt`, they are
            refused.
    """

    encrypt: tuple[str, ...] = ()
    tables: Literal["", "encrypted-disk"] = ""


class Retention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[data.NAME] retention`: which versions `data vacuum` may remove, if nothing needs them.

    Args:
        keep: So many of the newest versions are kept.
        older_than: Only versions made longer ago than this go, such as `30d`.
    """

    keep: Annotated[int, msgspec.Meta(ge=1)] = 1
    older_than: Annotated[str, msgspec.Meta(pattern=r"^(\d+(\.\d+)?\s*[smhdw]\s*)*$")] = ""


class DataConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[data.NAME]`: what holds for a dataset however its rows come.

    Args:
        pii: Personal column → `drop`, `mask` or `hash`; see `mlopsfw.privacy.treatments`.
        contract: The file that says what its rows must be, relative to the project; see `mlopsfw.data.contracts`.
        retention: Which versions are kept; all of them where nothing is said.
    """

    pii: dict[str, Literal["drop", "mask", "hash"]] = {}
    contract: str = ""
    retention: Retention | None = None


_LENGTH = r"^(\d+(\.\d+)?\s*[smhdw]\s*)+$"


class CaptureConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[capture]`: which event times and label times are taken, at an endpoint and from files of labels.

    Monitors set aside a captured prediction whose event time is further from the moment it was answered.

    Args:
        max_event_age: How long before the clock's time one may lie, such as `90d`. The default takes a history of 100
            years.
        max_event_lead: How long after it: for clocks and zones that are wrong by hours. Raise it for events that are to
            come.
    """

    max_event_age: Annotated[str, msgspec.Meta(pattern=_LENGTH)] = "36500d"
    max_event_lead: Annotated[str, msgspec.Meta(pattern=_LENGTH)] = "1d"


class AuditConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[audit]`: checkpoints of the ledger, by which a tail that was cut or rewritten is found.

    Args:
        checkpoint: The file outside of the store that gets them, or `git` for notes of commits; none where it is empty.
        every: A checkpoint is taken after so many events that this machine appended.
    """

    checkpoint: str = ""
    every: Annotated[int, msgspec.Meta(ge=1)] = 1000


class Definition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the project is for, as `[project]` says. Model cards show it.

    Args:
        purpose: What the models are for: the decision that they help with.
        owner: Who answers for them.
        stakeholders: Who is affected.
        out_of_scope: Uses that they are not made for.
    """

    purpose: str = ""
    owner: str = ""
    stakeholders: tuple[str, ...] = ()
    out_of_scope: tuple[str, ...] = ()


class Objective(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[objective]]`: what a model must reach.

    Args:
        metric: A metric of the evaluation, or a path in it, such as `segments.carrier.AA.auc`.
        target: What it must be, such as `>= 0.7`.
        by: The date from which it must be so, such as `2027-01-01`; by default at once.
        on: The model that it is about; by default every model.
    """

    metric: str
    target: str
    by: str = ""
    on: str = ""


class PrivacyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[privacy]`: the key with which personal columns are hashed.

    Args:
        key: Reference to the key of keyed hashes, such as `env:NAME`.
    """

    key: str = ""


class StepConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of the pipeline.

    Args:
        use: An installed step's name; empty if `python` is given.
        python: `module:function` in the project or an installed package; empty if `use` is given.
        inputs: Parameter name → `step`, `step.output`, `data:/name@version` or `models:/name@alias`.
        outputs: Names of the values it returns.
        params: Everything else it is given.
        needs: Steps that must be done first although nothing of theirs is taken.
        reads: Files and globs, relative to the project, that it opens by itself: their content counts for the cache.
        env: Environment variables that it reads: their values count for the cache.
        each: The input on whose parts it runs, one at a time; empty to run once.
        part_rows: Rows of a part, where that input is a table.
        cache: Whether a result may be reused.
        retries: Further attempts after a failure.
        timeout: Seconds an attempt may take; there is no limit without it.
        engine: Name of the engine that makes its attempts; the default one if empty.
        resources: What each attempt asks the engine for.
    """

    use: str = ""
    python: str = ""
    inputs: dict[str, str] = {}
    outputs: tuple[str, ...] = ()
    params: dict[str, Any] = {}
    needs: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    env: tuple[Annotated[str, msgspec.Meta(pattern=r"^[^=\x00\s]+$")], ...] = ()
    each: str = ""
    part_rows: Annotated[int, msgspec.Meta(ge=65_536, multiple_of=65_536)] = 1_048_576
    cache: bool = True
    retries: Annotated[int, msgspec.Meta(ge=0)] = 0
    timeout: Annotated[float, msgspec.Meta(gt=0)] | None = None
    engine: str = ""
    resources: Resources = Resources()


class ProjectConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole project.

    Args:
        name: The project's name.
        code: Folders, relative to the project, from which its Python modules are imported.
        selected: Role → the providers that the file selects, in order; see `selections`.
        named: Role → every provider that its table has options of, or a name for.
        options: Kind of plugin → name → options, of kinds that are used by name, as `[format.csv]` is.
        data: What holds for datasets, by name.
        privacy: The key of keyed hashes.
        capture: Which event times and label times are taken.
        definition: What the project is for.
        objectives: What its models must reach.
        encryption: Of what the storage holds.
        audit: Automatic checkpoints of the ledger.
        steps: The pipeline, in the order of the file.
        disabled: Entry points never to load, such as `observer.acme`.
        modules: Modules of the project's own code that are plugins.
        allow_private: Plugins, by entry point, whose `Host.http` may call addresses that are not public.
        env: The overlay that was applied, or empty.
        file: Where it was read from, or empty.
        lines: Dotted key → 1-based line in `file`.
    """

    name: str
    code: tuple[str, ...] = (".",)
    encryption: Encryption = Encryption()
    audit: AuditConfig = AuditConfig()
    data: dict[str, DataConfig] = {}
    privacy: PrivacyConfig = PrivacyConfig()
    capture: CaptureConfig = CaptureConfig()
    definition: Definition = Definition()
    objectives: tuple[Objective, ...] = ()
    selected: dict[str, tuple[Selection, ...]] = {}
    named: dict[str, tuple[Selection, ...]] = {}
    options: dict[str, dict[str, dict[str, Any]]] = {}
    steps: dict[str, StepConfig] = {}
    disabled: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    allow_private: tuple[str, ...] = ()
    env: str = ""
    file: str = ""
    lines: dict[str, int] = {}

    def selections(self, role: str) -> tuple[Selection, ...]:
        """Return the providers of a role, in the order of the file: of a role that has one, exactly one."""
        default = KINDS[role].default
        return self.selected.get(role) or ((Selection(use=default, key=role),) if default else ())

    def selection(self, role: str) -> Selection:
        """Return the one provider of a role."""
        (selection,) = self.selections(role)
        return selection

    def by_name(self, kind: str, name: str) -> Selection:
        """Return the provider that data, or a reference, names, with the options of its table."""
        options = self.options.get(kind, {}).get(name, {})
        return Selection(use=name, options=options, key=kind, options_key=f"{kind}.{name}")

    def chosen(self, *roles: str) -> list[tuple[str, Selection]]:
        """Return role and provider of all that the file selects or names, and of `roles` the default ones too."""
        pairs = [(role, each) for role in {**self.selected, **dict.fromkeys(roles)} for each in self.selections(role)]
        pairs += [(role, each) for role, named in self.named.items() for each in named if each.key != role]
        return list({(role, each.called): (role, each) for role, each in pairs if each.use}.values())

    def to_json(self) -> str:
        """Return it as JSON, for a worker or a run's record."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> ProjectConfig:
        """Read what `to_json` wrote."""
        return msgspec.json.decode(text, type=cls)

    def providers(self, plugin: str, key: str = "") -> list[tuple[str, Selection]]:
        """Return role and selection of what `trainer` (the default, or all of a list) or `trainer.boosted` means.

        Raise `ConfigError`, at `key`, where none is called so, or several trainers are there and none is the default.
        """
        role, _, name = plugin.partition(".")
        if role not in chosen_as("one", "many"):
            return []  # nothing selects a provider of this role: a suffix does, or a bundle's format
        default = self.selections(role)
        known = {each.called: each for each in (*self.named.get(role, ()), *default) if each.use}
        if name:
            if name not in known:
                raise self.error(f"no {role} is called {name!r}", key or role, hint=nearest(name, known))
            return [(role, known[name])]
        if not all(each.use for each in default):
            hint = f'Write {role} = "{next(iter(known))}" in the step, or [{role}] use = "{next(iter(known))}".'
            raise self.error(f"none of {', '.join(known)} is the default {role}", key or role, hint=hint)
        return [(role, each) for each in default]

    def error(self, message: str, key: str, *, hint: str = "") -> ConfigError:
        """Return a `ConfigError` at the line of `key`, else of the first key below it, else of the nearest above it."""
        file = Path(self.file) if self.file else None
        return ConfigError(message, file=file, line=self._line(key), key=key, hint=hint)

    def _line(self, key: str) -> int | None:
        below = [line for other, line in self.lines.items() if other.startswith(f"{key}.")]
        if key not in self.lines and below:  # a table that has no header of its own, such as `step` of [step.split]
            return min(below)
        while key and key not in self.lines:
            key = key.rpartition(".")[0]
        return self.lines.get(key)
