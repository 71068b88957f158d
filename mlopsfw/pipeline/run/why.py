"""The differences between two fingerprints of a step, in words: which function in which file, which parameter, which input."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.pipeline.run.parameters import flat
from mlopsfw.pipeline.run.runs import differences

if TYPE_CHECKING:
    from mlopsfw.pipeline.cache.key import Fingerprint
    from mlopsfw.pipeline.run.execution import Execution


def changes(
    execution: Execution, before: Fingerprint, now: Fingerprint, *, without: Collection[str] = ()
) -> tuple[str, ...]:
    """Return one line for each difference; none if the keys are equal.

    Args:
        execution: Has the kept results, to look up environments.
        before: What the last result was made of.
        now: What it would be made of.
        without: Inputs that are not known yet and so are not compared.
    """
    if before.key == now.key:
        return ()
    lines = [
        *_code(execution.services.workspace.root, before, now),
        *_changed("param", flat(before.params), flat(now.params)),
        *_changed("input", _without(before.inputs, without), _without(now.inputs, without), show=False),
        *_changed("file", before.reads, now.reads, show=False),
        *_variables(before.env, now.env),
        *_changed("plugin", before.plugins, now.plugins),
        *_changed("option", flat(before.options), flat(now.options)),
        *_changed("fact", flat(before.facts or {}), flat(now.facts or {})),
        *_changed("outputs", {"": list(before.outputs)}, {"": list(now.outputs)}),
        *_environment(execution, before, now),
    ]
    return tuple(lines)


def _without(values: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if name not in names}


def _changed(what: str, before: Mapping[str, Any], now: Mapping[str, Any], *, show: bool = True) -> Iterator[str]:
    for name, (old, new) in differences(dict(before), dict(now)).items():
        label = f"{what} {name}".strip()
        if name not in before:
            yield f"{label}: new{f' ({new!r})' if show else ''}"
        elif name not in now:
            yield f"{label}: gone{f' (was {old!r})' if show else ''}"
        elif show:
            yield f"{label}: {old!r} → {new!r}"
        else:
            yield f"{label}: its content changed ({_short(old)} → {_short(new)})"


def _variables(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """Yield which environment variables changed: their values are nowhere."""
    for name in sorted(before.keys() | now.keys()):
        if (old := before.get(name)) != (new := now.get(name)):
            how = "is now declared" if old is None else "is no longer declared" if new is None else "changed"
            how = "is no longer set" if old and new == "" else "is now set" if old == "" and new else how
            yield f"env {name}: {how}"


def _short(digest: str) -> str:
    return digest.rpartition(":")[2][:8]


def _code(root: Path, before: Fingerprint, now: Fingerprint) -> Iterator[str]:
    if before.runs != now.runs and not (before.code and before.code == now.code):
        yield f"runs: {before.runs} → {now.runs}"
    if before.code == now.code:
        return
    found = False
    for name in sorted(before.units.keys() | now.units.keys()):
        old, new = before.units.get(name), now.units.get(name)
        if old and new and old.digest == new.digest:
            continue
        found = True
        unit = new or old
        place = _relative(root, unit.file) if unit else ""
        how = "changed" if old and new else "is now called" if new else "is no longer called"
        yield f"code: {name} {how} ({place})"
    if not found:
        yield "code: its names now mean something else (an import changed, or the order of calls)"


def _relative(root: Path, file: str) -> str:
    path = Path(file)
    return str(path.relative_to(root)) if path.is_relative_to(root) else file


def _environment(execution: Execution, before: Fingerprint, now: Fingerprint) -> Iterator[str]:
    if before.environment == now.environment:
        return
    from mlopsfw.lineage.environment import environment

    kept = execution.results.find(before.key)
    if kept is None or not kept.environment:
        yield "environment: other packages are installed"
        return
    installed = msgspec.json.decode(execution.services.blobs.get(kept.environment))
    yield from _changed("package", _counted(installed, before, now), _counted(environment(), before, now))


def _counted(installed: Mapping[str, str], before: Fingerprint, now: Fingerprint) -> dict[str, str]:
    """Return the packages that the step reaches; all where one of the keys counts all."""
    counted = {*before.packages, *now.packages, "python", "platform"} if before.packages and now.packages else installed
    return {name: version for name, version in installed.items() if name in counted}
