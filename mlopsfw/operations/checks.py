"""The checks of `mlopsfw doctor` on the store, on this machine and on what is installed. None changes anything but a probe of its own."""

from __future__ import annotations

import secrets
import shutil
import site
import stat
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mlopsfw.kernel.base.errors import MlopsfwError
from mlopsfw.kernel.component import released
from mlopsfw.kernel.plugins.blame import blame_of
from mlopsfw.kernel.roles.check import Check, Diagnosis
from mlopsfw.kernel.roles.names import chosen_as

if TYPE_CHECKING:
    from mlopsfw.kernel.component import Component, Released
    from mlopsfw.kernel.config import ProjectConfig
    from mlopsfw.kernel.index import Index
    from mlopsfw.kernel.ledger import Ledger
    from mlopsfw.kernel.plugins.manager import PluginManager
    from mlopsfw.kernel.roles.host import Clock
    from mlopsfw.kernel.roles.storage import Storage
    from mlopsfw.kernel.store.blobs import BlobStore
    from mlopsfw.kernel.store.vault import Vault
    from mlopsfw.kernel.workspace import Workspace

_ROOM = 1 << 30  # bytes of free disk below which a warning is due
_SKEW = 5.0  # seconds between this machine's clock and the store's


class Store(Protocol):
    """The parts of a store. Each is made when a check asks for it: one that cannot be made fails that check alone."""

    @property
    def storage(self) -> Storage:
        """Where objects lie."""
        ...

    @property
    def clock(self) -> Clock:
        """This machine's clock."""
        ...

    @property
    def vault(self) -> Vault | None:
        """The keys of the blobs; None without encryption."""
        ...

    @property
    def ledger(self) -> Ledger:
        """The events."""
        ...

    @property
    def blobs(self) -> BlobStore:
        """The blobs."""
        ...


class Installation(Protocol):
    """The parts of a project on this machine, each made when a check asks for it."""

    @property
    def workspace(self) -> Workspace:
        """The project's folder, and its state."""
        ...

    @property
    def index(self) -> Index:
        """What is derived from the ledger."""
        ...

    @property
    def plugins(self) -> PluginManager:
        """The plugins."""
        ...

    @property
    def config(self) -> ProjectConfig:
        """The configuration."""
        ...

    @property
    def components(self) -> Iterable[Component]:
        """What each part of the project contributes."""
        ...


def checks(store: Store, project: Installation) -> tuple[Check, ...]:
    """Return the checks."""
    on_machine = (
        Check(
            "machine",
            "This machine has free space, and the project's state is private",
            lambda: machine(project.workspace),
        ),
        Check("startup", "Which files run code whenever Python starts", startup_files),
    )
    return (*on_machine, *_of_store(store, project), *_of_installation(store, project))


def _of_store(store: Store, project: Installation) -> tuple[Check, ...]:
    return (
        Check(
            "storage",
            "The storage answers and keeps its protocol",
            lambda: storage_protocol(store.storage, store.clock),
        ),
        Check(
            "encryption",
            "The key decrypts the keyring, and no older keyring exists",
            lambda: encryption(store.vault),
        ),
        Check(
            "ledger",
            "The hash chain of every stream is intact, and every event can be read",
            lambda: ledger_chain(store.ledger),
        ),
        Check(
            "checkpoints",
            "The last automatic checkpoint of the ledger was taken",
            lambda: automatic_checkpoints(project.workspace, project.config),
        ),
        Check(
            "references",
            "Every blob that an event refers to exists",
            lambda: references(store.ledger, released(project.components), _installed(project.plugins)),
        ),
    )


def _of_installation(store: Store, project: Installation) -> tuple[Check, ...]:
    return (
        Check(
            "plugins",
            "Every selected provider is installed and can be loaded",
            lambda: selected_providers(project.plugins, project.config),
        ),
        Check(
            "components",
            "The tables of every plugin's component follow the ledger",
            lambda: set_aside(project.index),
        ),
        Check("blobs", "Every blob matches its digest", lambda: blob_digests(store.blobs), thorough=True),
        Check(
            "index",
            "The index agrees with the ledger",
            lambda: index_content(project.index, project.workspace),
            thorough=True,
        ),
    )


def _installed(plugins: PluginManager) -> set[str]:
    """Return the plugins that are installed and not disabled, such as `alerter.acme`."""
    catalog = plugins.catalog
    return {claim.key for claim in catalog.claims if not catalog.is_disabled(claim)}


# -- this machine --------------------------------------------------------------------------------------------------------------


def machine(workspace: Workspace) -> Iterator[Diagnosis]:
    """Look at this machine's room, and at who can enter the project's state."""
    folder = workspace.private_folder()
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        yield Diagnosis("warning", f"other users can enter {folder} (mode {mode:o})", f"Run: chmod 700 {folder}")
    free = shutil.disk_usage(folder).free
    if free < _ROOM:
        yield Diagnosis("warning", f"only {free >> 20} MiB are free under {folder}", "Make room, or run `mlopsfw gc`.")
    yield Diagnosis("ok", f"state in {folder}, {free >> 30} GiB free")


def startup_files() -> Iterator[Diagnosis]:
    """List `.pth` files that run code whenever Python starts: the way in of more than one hostile package."""
    for folder in map(Path, site.getsitepackages()):
        for file in sorted(folder.glob("*.pth")):
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
            runs = [line for line in lines if line.startswith(("import ", "import\t"))]
            if runs:
                yield Diagnosis(
                    "ok",
                    f"{file} runs code when Python starts: {runs[0][:80]}",
                    "Make sure that you know who wrote it.",
                )


# -- storage -------------------------------------------------------------------------------------------------------------------


def storage_protocol(storage: Storage, clock: Clock) -> Iterator[Diagnosis]:
    """Try the storage protocol on an object of doctor's own, which is deleted again."""
    key = f"doctor/probe-{secrets.token_hex(8)}"
    began = clock.monotonic()
    promises = [
        ("put_if_absent creates", storage.put_if_absent(key, b"probe")),
        ("put_if_absent creates once", not storage.put_if_absent(key, b"other")),
        ("get returns what was put", storage.get(key) == b"probe"),
        ("list shows what was put", [entry.size for entry in storage.list(key)] == [5]),
    ]
    took = clock.monotonic() - began
    skew = abs(next(iter(storage.list(key))).modified - clock.now())
    storage.delete(key)
    for promise, kept in promises:
        if not kept:
            yield Diagnosis(
                "error", f"{storage.describe()} breaks the storage protocol: {promise}", "Use another storage."
            )
    if skew > _SKEW:
        yield Diagnosis(
            "warning", f"the store's clock differs from this machine's by {skew:.0f} s", "Synchronise the clocks (NTP)."
        )
    yield Diagnosis("ok", f"{storage.describe()} answers; 4 operations took {took * 1000:.0f} ms")


def encryption(vault: Vault | None) -> Iterator[Diagnosis]:
    """Open the keyring, and count the rings that older keys open."""
    if vault is None:
        yield Diagnosis("ok", "blobs are not encrypted")
        return
    ring = vault.keyring.open()
    if old := vault.keyring.leftovers():
        yield Diagnosis(
            "warning",
            f"{old} keyrings can be decrypted with a key that is no longer in use",
            "Run `mlopsfw storage rotate-key`.",
        )
    yield Diagnosis("ok", f"blobs are encrypted; keyring {ring.number} has {len(ring.keys)} keys")


def ledger_chain(ledger: Ledger) -> Iterator[Diagnosis]:
    """Hash every event again, and compare its body with its record."""
    from mlopsfw.operations.audit import audit

    streams = events = 0
    for stream in audit(ledger.storage, types=ledger.types):
        streams, events = streams + 1, events + stream.entries
        yield from (
            Diagnosis("error", problem, "Restore it from a copy (`mlopsfw import URL --heal`).")
            for problem in stream.problems
        )
        if stream.leftovers:
            n = len(stream.leftovers)
            yield Diagnosis("warning", f"{stream.stream}: {n} entries were left behind by a crash", "Run `mlopsfw gc`.")
    yield Diagnosis("ok", f"the hash chains of {events} events in {streams} streams are intact")


def automatic_checkpoints(workspace: Workspace, config: ProjectConfig) -> Iterator[Diagnosis]:
    """Say where this machine takes checkpoints, and why the last one was not taken."""
    from mlopsfw.operations.checkpointing import failure

    place = config.audit.checkpoint
    if place and (reason := failure(workspace)):
        yield Diagnosis(
            "error",
            f"the last checkpoint was not taken: {reason}",
            "Mend that, then take one: `mlopsfw audit checkpoint`.",
        )
    elif place:
        yield Diagnosis("ok", f"a checkpoint is taken after every {config.audit.every:,} events, in {place}")
    else:
        yield Diagnosis("ok", "no checkpoint is taken by itself; [audit] checkpoint names a place")


def references(ledger: Ledger, released: Released, plugins: Collection[str]) -> Iterator[Diagnosis]:
    """Look for every blob that an event refers to, and name the types of events that no component declares.

    Args:
        ledger: The ledger.
        released: What components no longer keep.
        plugins: The installed plugins, such as `alerter.acme`. They may write events without declaring their types.
    """
    from mlopsfw.kernel.events import authority
    from mlopsfw.kernel.store import blobs, tombstones

    stored = {entry.key for entry in ledger.storage.list(blobs.ROOT)}
    excused = {blobs.key_of(digest) for digest in tombstones.buried(ledger.storage)}
    named, undeclared = 0, Counter[tuple[str, str]]()
    for name in ledger.streams():
        owner = authority.owner_of(name)
        expected = excused | stored | {blobs.key_of(digest) for digest in released.get(owner, ())}
        for event in ledger.stream(name).events():
            undeclared[owner, event.type] += event.type not in ledger.types
            for digest in {blob.digest for blob in ledger.types.blobs(event)} if event.type in ledger.types else ():
                named += 1
                if blobs.key_of(digest) not in expected:
                    where = f"{name} #{event.seq} ({event.type})"
                    message = f"{where} refers to blob {digest}, which is missing"
                    yield Diagnosis("error", message, "Restore it from a copy.")
    yield from _undeclared(undeclared, plugins)
    yield Diagnosis("ok", f"{named} references to {len(stored)} blobs")


def _undeclared(counts: Counter[tuple[str, str]], plugins: Collection[str]) -> Iterator[Diagnosis]:
    """Name each type that no component declares: what it refers to is not known. The audit names foreign events."""
    from mlopsfw.kernel.events.authority import FOREIGN

    for (owner, type_), count in sorted(counts.items()):
        if not count or type_.startswith(FOREIGN):
            continue
        message = f"no installed component declares the type {type_} ({count} {'event' if count == 1 else 'events'})"
        if owner in plugins:
            yield Diagnosis("ok", f"{message}: gc keeps every blob that they may refer to")
            continue
        install = f"Install the plugin {owner!r}" if owner else "Install the mlopsfw that wrote them"
        consequence = (
            "gc keeps every blob that they may refer to, but neither doctor nor `mlopsfw data forget` looks into them"
        )
        yield Diagnosis("warning", f"{message}: {consequence}", f"{install}, or a component that declares the type.")


def blob_digests(blobs: BlobStore) -> Iterator[Diagnosis]:
    """Read every blob again, and name each that does not match its digest."""
    read = size = 0
    for entry, digest in blobs.verify():
        read, size = read + 1, size + entry.size
        if not entry.key.endswith(digest):
            yield Diagnosis(
                "error",
                f"blob {entry.key.rpartition('/')[2]} does not match its digest ({entry.size} bytes, they hash to {digest})",
                "Restore it from a copy (`mlopsfw import URL --heal`), or run the step that made it again.",
            )
    yield Diagnosis("ok", f"{read} blobs, {size} bytes read again")


def set_aside(index: Index) -> Iterator[Diagnosis]:
    """Look for plugins whose tables an event could not change."""
    for plugin, reason in index.set_aside().items():
        yield Diagnosis(
            "error",
            f"the tables of {plugin} are set aside: {reason}",
            f"Repair the plugin and run `mlopsfw index rebuild`, or run `mlopsfw plugins disable {plugin}`.",
        )
    yield Diagnosis("ok", "the tables of every component follow the ledger")


def index_content(index: Index, workspace: Workspace) -> Iterator[Diagnosis]:
    """Compare the index with one that is made anew."""
    for table in index.differences(workspace.private_folder("doctor") / f"index-{secrets.token_hex(4)}.sqlite"):
        yield Diagnosis("error", f"the index differs from the ledger in {table}", "Run `mlopsfw index rebuild`.")
    yield Diagnosis("ok", "the index equals a rebuilt one")


def selected_providers(plugins: PluginManager, config: ProjectConfig) -> Iterator[Diagnosis]:
    """Load the plugin behind each selected provider, read its options and name its distribution.

    Name what is not installed or misnamed, and each provider whose options are wrong.
    """
    for claim in plugins.catalog.claims:
        if claim.misnamed:
            message = f"{claim.distribution} {claim.version} has an entry point {claim.key!r}: {claim.misnamed}"
            yield Diagnosis("warning", message, f"Upgrade {claim.distribution}, or tell its author.")
    for _, _, missing in plugins.missing(config):
        yield Diagnosis("error", missing.message, missing.hint)
    absent = {(kind, name) for kind, name, _ in plugins.missing(config)}
    named = [
        (kind, config.by_name(kind, name))
        for kind in chosen_as("name")
        for name in config.options.get(kind, {})
        if (kind, name) not in absent
    ]
    for role, selection in [*config.chosen(*chosen_as("one")), *named]:
        try:
            claim, _, _ = plugins.selected(role, selection, config)
        except MlopsfwError as error:
            message = "; ".join(filter(None, (error.message, blame_of(error))))
            yield Diagnosis("error", message, error.hint)
        else:
            yield Diagnosis("ok", f"{role} {selection.called!r}: {claim.distribution} {claim.version}")
