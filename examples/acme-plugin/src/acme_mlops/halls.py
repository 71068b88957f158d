"""What Acme's machines write, each hall's into a folder of a share: a source of `acme://HALL` or one file, and a step that cleans rows."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from mlopsfw import Provider, hookimpl
from mlopsfw.errors import DataError
from mlopsfw.roles import Alerts, Host, Received, Source, SourceRequest, Step, StepContext


class SourceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[source.acme]`: `share` is the folder into which the halls' machines write, relative to the project."""

    share: str = "halls"


class MachineFile:
    relative = ""

    def __init__(self, path: Path, shown: str) -> None:
        self._path, self.shown, self.name = path, shown, path.name

    def facts(self) -> Mapping[str, Any]:
        stat = self._path.stat()
        return {"modified": stat.st_mtime_ns, "size": stat.st_size}

    def unchanged(self, known: Mapping[str, Any]) -> bool:
        return self.facts() == known

    def fetch(self, to: Path, received: Received) -> None:
        before = self.facts()
        shutil.copyfile(self._path, to)
        received(to.stat().st_size, before["size"])
        if self.facts() != before:
            raise DataError(f"{self.shown} changed while it was copied", hint="Try again when the machine is done.")


class AcmeSource:
    queries, takes = False, ()

    def __init__(self, share: Path) -> None:
        self._share = share

    def find(self, request: SourceRequest) -> list[MachineFile]:
        parts, share = urlsplit(request.url), self._share.resolve()
        hall, name = share / parts.netloc, parts.path.strip("/")
        files = [hall / name] if name else sorted(file for file in hall.glob("*") if file.suffix in request.suffixes)
        place = f"acme://{parts.netloc}"
        if not files or not all(file.is_file() and share in file.resolve().parents for file in files):
            halls = ", ".join(sorted(f"acme://{folder.name}" for folder in self._share.glob("*")))
            raise DataError(f"{place}{parts.path} does not exist", hint=f"The share has {halls}.")
        return [MachineFile(file, f"{place}/{file.name}") for file in files]


@hookimpl
def mlopsfw_sources() -> Iterable[Provider[Source]]:
    summary = "Files that the machines of Acme's halls write"
    yield Provider("acme", SourceConfig, lambda config, host: AcmeSource(host.root / config.share), summary)


class CleanConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[steps.NAME]` with `use = "acme-clean"`: a row needs a value in `columns`, or in all columns if there are none."""

    columns: tuple[str, ...] = ()
    alert_above: float = 1.0


def _build(config: CleanConfig, _host: Host) -> Step:
    def clean(context: StepContext, alerts: Alerts) -> Mapping[str, object]:
        """Clean the rows. `alerts` is a part of the project: a step gets those that its parameters name."""
        import polars as pl

        rows = context.load("rows", pl.DataFrame)  # a version of a dataset would be a LazyFrame
        if missing := sorted(set(config.columns) - set(rows.columns)):
            raise DataError(f"step {context.step}: the rows have no column {missing[0]!r}", hint="Correct `columns`.")
        kept = rows.drop_nulls(config.columns or None).unique(maintain_order=True)
        share = 1 - kept.height / max(1, rows.height)
        context.log(f"{kept.height:,} of {rows.height:,} rows are kept")
        context.log_metric("left_out", share)
        if share > config.alert_above:
            alerts.raise_(f"clean/{context.step}", "warning", f"{share:.0%} of the rows were left out", "See the log.")
        return {"rows": kept}

    return Step(run=clean, inputs=("rows",), outputs=("rows",), version=1)


@hookimpl
def mlopsfw_steps() -> Iterable[Provider[Step]]:
    yield Provider("acme-clean", CleanConfig, _build, "Leave out rows that lack a value or are doubled")
