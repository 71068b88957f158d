"""`doctor`: what the kernel asks about a project, its storage and this machine. It changes nothing but a probe of its own."""

from __future__ import annotations

import secrets
import shutil
import site
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import MlopsfwError, text_of
from mlopsfw.kernel.roles.check import Diagnosis

if TYPE_CHECKING:
    from mlopsfw.project.facade import Project

_ROOM = 1 << 30  # bytes of free disk below which a warning is due
_SKEW = 5.0  # seconds between this machine's clock and the store's
_BLOB_FIELDS = frozenset(
    {"blob", "bundle", "config", "environment", "logs", "traceback", "report", "page", "manifest", "diff"}
)
_FINGERPRINT = "fingerprint"  # what a step's key was made of: digests of content, which need not be kept anywhere
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Question:
    """One of the kernel's own checks.

    Args:
        name: Short, unique, lower case.
        summary: One line.
        ask: Asks it.
        thorough: Whether it reads everything and is asked only by `--verify`.
    """

    name: str
    summary: str
    ask: Callable[[Project], Iterable[Diagnosis]]
    thorough: bool = False


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One answer, with the check that gave it."""

    check: str
    level: str
    message: str
    hint: str = ""


def examine(project: Project, *, verify: bool = False) -> Iterator[Finding]:
    """Ask every question, the plugins' last; a question that cannot be answered is itself an error."""
    for question in QUESTIONS:
        if verify or not question.thorough:
            yield from _asked(question.name, partial(question.ask, project))
    yield from _asked("plugins", partial(_plugins, project))
    for claim, check in project.plugins.checks():
        yield from _asked(check.name, partial(check.run, project.host(claim.key)))


def _asked(name: str, ask: Callable[[], Iterable[Diagnosis]]) -> Iterator[Finding]:
    try:
        answers = list(ask())
    except Exception as error:  # noqa: BLE001 - one check must not keep the others from being asked
        hint = error.hint if isinstance(error, MlopsfwError) else ""
        message = error.message if isinstance(error, MlopsfwError) else text_of(error)
        answers = [Diagnosis("error", message, hint)]
    for answer in answers or [Diagnosis("ok", "nothing to say")]:
        yield Finding(check=name, level=answer.level, message=answer.message, hint=answer.hint)


# -- this machine --------------------------------------------------------------------------------------------------------------


def _machine(project: Project) -> Iterator[Diagnosis]:
    folder = project.private_folder()
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        yield Diagnosis("warning", f"{folder} can be entered by others (mode {mode:o})", f"Run: chmod 700 {folder}")
    free = shutil.disk_usage(folder).free
    if free < _ROOM:
        yield Diagnosis("warning", f"{free >> 20} MiB are free under {folder}", "Make room, or run `mlopsfw gc`.")
    yield Diagnosis("ok", f"state in {folder}, {free >> 30} GiB free")


def _startup_files(project: Project) -> Iterator[Diagnosis]:
    """List `.pth` files that run code whenever Python starts: the way in of more than one hostile package."""
    del project
    for folder in map(Path, site.getsitepackages()):
        for file in sorted(folder.glob("*.pth")):
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
            runs = [line for line in lines if line.startswith(("import ", "import\t"))]
            if runs:
                yield Diagnosis(
                    "ok", f"{file} runs code when Python starts: {runs[0][:80]}", "See that you know whose it is."
                )


# -- storage -------------------------------------------------------------------------------------------------------------------


def _storage(project: Project) -> Iterator[Diagnosis]:
    storage, key = project.storage, f"doctor/probe-{secrets.token_hex(8)}"
    began = project.clock.monotonic()
    promises = [
        ("put_if_absent creates", storage.put_if_absent(key, b"probe")),
        ("put_if_absent creates once", not storage.put_if_absent(key, b"other")),
        ("get returns what was put", storage.get(key) == b"probe"),
        ("list shows what was put", [entry.size for entry in storage.list(key)] == [5]),
    ]
    took = project.clock.monotonic() - began
    skew = abs(next(iter(storage.list(key))).modified - project.clock.now())
    storage.delete(key)
    for promise, kept in promises:
        if not kept:
            yield Diagnosis("error", f"{storage.describe()} breaks its contract: {promise}", "Use another storage.")
    if skew > _SKEW:
        yield Diagnosis(
            "warning", f"the store's clock differs from this machine's by {skew:.0f} s", "Set the clocks (NTP)."
        )
    yield Diagnosis("ok", f"{storage.describe()} answers; 4 operations took {took * 1000:.0f} ms")


def _encryption(project: Project) -> Iterator[Diagnosis]:
    vault = project.vault
    if vault is None:
        yield Diagnosis("ok", "blobs are stored as they are")
        return
    ring = vault.keyring.opened()
    if old := vault.keyring.leftovers():
        yield Diagnosis(
            "warning", f"{old} rings open with a key that was given up", "Run `mlopsfw storage rotate-key`."
        )
    yield Diagnosis("ok", f"blobs are encrypted; ring {ring.number} has {len(ring.keys)} keys")


def _erasures(project: Project) -> Iterator[Diagnosis]:
    yield from project.erasures.diagnose()


def _ledger(project: Project) -> Iterator[Diagnosis]:
    from mlopsfw.kernel.ledger.audit import audit

    streams = events = 0
    for found in audit(project.storage):
        streams, events = streams + 1, events + found.entries
        yield from (
            Diagnosis("error", problem, "Restore it from a copy (`mlopsfw import URL --heal`).")
            for problem in found.problems
        )
        if found.leftovers:
            n = len(found.leftovers)
            yield Diagnosis("warning", f"{found.stream}: {n} entries were left behind by a crash", "Run `mlopsfw gc`.")
    yield Diagnosis("ok", f"{events} events in {streams} streams follow one another")


def _references(project: Project) -> Iterator[Diagnosis]:
    from mlopsfw.kernel.store import blobs, tombstones

    there = {entry.key for entry in project.storage.list(blobs.ROOT)}
    there |= {blobs.key_of(digest) for digest in tombstones.buried(project.storage)}
    named = 0
    for name in project.ledger.streams():
        for event in project.ledger.stream(name).events():
            for digest in _blobs_in(event.body):
                named += 1
                if blobs.key_of(digest) not in there:
                    where = f"{name} #{event.seq} ({event.type})"
                    yield Diagnosis(
                        "error", f"{where} refers to blob {digest}, which is gone", "Restore it from a copy."
                    )
    yield Diagnosis("ok", f"{named} references to {len(there)} blobs")


def _blobs_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == _FINGERPRINT:
                continue
            if key in _BLOB_FIELDS and isinstance(inner, str) and len(inner) == 64 and _HEX.issuperset(inner):  # noqa: PLR2004
                yield inner
            else:
                yield from _blobs_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _blobs_in(inner)


def _flipped(project: Project) -> Iterator[Diagnosis]:
    read = size = 0
    for entry, found in project.blobs.verify():
        read, size = read + 1, size + entry.size
        if not entry.key.endswith(found):
            yield Diagnosis(
                "error",
                f"blob {entry.key.rpartition('/')[2]} does not match its digest ({entry.size} bytes, they hash to {found})",
                "Restore it from a copy (`mlopsfw import URL --heal`), or run again the step that made it.",
            )
    yield Diagnosis("ok", f"{read} blobs, {size} bytes read again")


def _index(project: Project) -> Iterator[Diagnosis]:
    fresh = project.index.beside(project.private_folder("doctor") / f"index-{secrets.token_hex(4)}.sqlite")
    try:
        differing = project.index.differences(fresh)
    finally:
        fresh.delete()
    for table in differing:
        yield Diagnosis("error", f"the index differs from the ledger in {table}", "Run `mlopsfw index rebuild`.")
    yield Diagnosis("ok", "the index was compared with one made anew")


def _datasets(project: Project) -> Iterator[Diagnosis]:
    from mlopsfw.data.datasets.diagnosis import examine as examine_datasets

    yield from examine_datasets(project.datasets)


def _rows(project: Project) -> Iterator[Diagnosis]:
    from mlopsfw.data.datasets.diagnosis import verify

    yield from verify(project.datasets)


# -- plugins -------------------------------------------------------------------------------------------------------------------


def _plugins(project: Project) -> Iterator[Diagnosis]:
    config = project.config
    chosen = [("storage", config.storage), ("trainer", config.trainer), ("deployer", config.deployer)]
    chosen += [("engine", config.engine), *(("monitor", s) for s in config.monitors)]
    for role, selection in [*chosen, *(("alerter", s) for s in config.alerters)]:
        claim, _ = project.plugins.provider(role, selection.use)
        yield Diagnosis("ok", f"{role} {selection.use!r}: {claim.distribution} {claim.version}")


QUESTIONS = (
    Question("machine", "This machine has room, and the project's state is private", _machine),
    Question("startup", "What runs code whenever Python starts", _startup_files),
    Question("storage", "The storage answers and keeps its contract", _storage),
    Question("encryption", "The key opens the keyring, and no older ring is left", _encryption),
    Question("erasures", "What was to be erased is erased", _erasures),
    Question("ledger", "Every event follows the one before it", _ledger),
    Question("references", "What events refer to is there", _references),
    Question(
        "datasets", "The files of every dataset are there, its Delta log is up, references are unchanged", _datasets
    ),
    Question("blobs", "Every blob matches its digest", _flipped, thorough=True),
    Question("rows", "Every dataset version still has the rows of its digest", _rows, thorough=True),
    Question("index", "The index says what the ledger says", _index, thorough=True),
)
"""What the kernel asks, in this order."""
