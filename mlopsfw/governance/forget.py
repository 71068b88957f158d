"""`forget`: one subject out of everything that came of a dataset. Killed at any point, it is finished by running it again.

What came of the dataset is read from the lineage: datasets and models made from it, runs that read it, endpoints that serve those
models. The stream `privacy/erasures` gets `erasure.begun` before and `erasure.done` after, with counts, digests and a keyed digest of
the subject, never the value; `blobs.erased` (old, new) comes before the old blobs go, `dataset.erased` stands in each dataset's stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.data.datasets.versions import ERASED
from mlopsfw.governance.removal import drop
from mlopsfw.governance.text_search import files_with
from mlopsfw.kernel.base.errors import UnknownName
from mlopsfw.kernel.base.ids import nearest, new_run_id
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.store.tombstones import Tombstone
from mlopsfw.lineage import downstream
from mlopsfw.pipeline.values.erasure import BlobSearch, Found, Named, named

if TYPE_CHECKING:
    from mlopsfw.governance.subject import Subject
    from mlopsfw.project.facade import Project
    from mlopsfw.serving.captures.erasure import Rows

STREAM = "privacy/erasures"
PATH = "path"
"""The column of a set of files of which a subject's value may be a pattern."""
_PERSONAL = ("dry_run", "elsewhere", "remaining")  # what of an `Erasure` is for the user alone


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure did, or would do.

    Args:
        erasure: Its id; empty for a dry run.
        dataset, column: What was asked for.
        subject: Keyed digest of the column and the value.
        datasets: Dataset → version → rows that went.
        quarantine: Dataset → bad rows that went.
        captures, labels: Endpoint → rows that went.
        tables: Steps' tables that were rewritten.
        dropped: Values, logs and reports that were dropped as a whole.
        models: Model versions that learned from the rows. They are left as they are.
        bundles: Of bundles, those in which a text of the subject stands: retrain, and delete them by hand.
        files: Files of this machine's that were removed.
        elsewhere: Set of files → paths that are not the subject's, and hold the very bytes of one that is. They are left.
        remaining: Files of this machine's in which a text of the subject still stands.
        dry_run: Whether nothing was done.
    """

    erasure: str
    dataset: str
    column: str
    subject: str
    datasets: dict[str, dict[int, int]] = {}
    quarantine: dict[str, int] = {}
    captures: dict[str, int] = {}
    labels: dict[str, int] = {}
    tables: int = 0
    dropped: int = 0
    models: list[str] = []
    bundles: list[str] = []
    files: int = 0
    elsewhere: dict[str, list[str]] = {}
    remaining: list[str] = []
    dry_run: bool = False


def forget(
    project: Project, dataset: str, subject: Subject, *, endpoints: Sequence[str] = (), dry_run: bool = False
) -> Erasure:
    """Erase a subject from a dataset and all that came of it.

    Args:
        project: The project.
        dataset: The dataset.
        subject: Who.
        endpoints: Endpoints to look in besides those that the lineage leads to.
        dry_run: Only say what there is.

    Raises:
        UnknownName: There is no such dataset, or none of its versions has the column.
    """
    return _Forgetting(project, dataset, subject, endpoints, dry_run=dry_run).run()


class _Forgetting:
    """One erasure under way."""

    def __init__(
        self, project: Project, dataset: str, subject: Subject, endpoints: Sequence[str], *, dry_run: bool
    ) -> None:
        self._project, self._dataset, self._subject, self._dry = project, dataset, subject, dry_run
        versions = project.datasets.log(dataset)
        known = {column for version in versions for column in version.columns}
        if subject.column not in known:
            raise UnknownName(
                f"no version of {dataset!r} has a column {subject.column!r}", hint=nearest(subject.column, known)
            )
        self._reached = downstream(project, [version.ref for version in versions])
        self._endpoints = sorted({*self._names("endpoints:/"), *endpoints})
        self._datasets = sorted({dataset, *self._names("data:/")})
        if versions[0].index and subject.column == PATH:
            self._subject = subject.among(project.filesets.erasure.paths(self._datasets, subject.text))
        made = {version.run for name in self._datasets for version in project.datasets.log(name)}
        self._runs = sorted((made | self._names("runs:/")) - {""})
        self._again = subject.digest in unfinished(project).values()
        self._id = "" if dry_run else new_run_id()

    def _names(self, scheme: str) -> set[str]:
        return {ref.removeprefix(scheme).partition("@")[0] for ref in self._reached if ref.startswith(scheme)}

    def run(self) -> Erasure:
        stream = self._project.ledger.stream(STREAM)
        facts = {
            "erasure": self._id,
            "dataset": self._dataset,
            "column": self._subject.column,
            "subject": self._subject.digest,
        }
        if not self._dry:
            stream.append(PlainRecord("erasure.begun", facts))
        rows = {name: self._captured(name) for name in self._endpoints}
        tables, dropped, bundles = self._blobs()
        quarantine = {name: count for name in self._datasets if (count := self._quarantine(name))}
        files = 0 if self._dry else self._local()
        elsewhere = {
            name: paths
            for name in self._datasets
            if (paths := self._project.filesets.erasure.elsewhere(name, self._subject))
        }
        versions = {
            name: found for name in self._datasets if (found := self._versions(name))
        }  # last: paths are found by them
        done = Erasure(
            **facts, datasets=versions, quarantine=quarantine, tables=tables, dropped=dropped, models=self._models(versions),
            captures={name: each.predictions for name, each in rows.items() if each.predictions},
            labels={name: each.labels for name, each in rows.items() if each.labels},
            bundles=bundles, files=files, elsewhere=elsewhere, remaining=self._remaining(), dry_run=self._dry,
        )  # fmt: skip
        if not self._dry:
            body: dict[str, Any] = msgspec.to_builtins(done, str_keys=True)
            stream.append(
                PlainRecord("erasure.done", {key: value for key, value in body.items() if key not in _PERSONAL})
            )
        return done

    def _captured(self, endpoint: str) -> Rows:
        erasure = self._project.capture_erasure
        if self._dry:
            return erasure.count(endpoint, self._subject)
        return erasure.remove(endpoint, self._subject, again=self._again)

    def _quarantine(self, dataset: str) -> int:
        erasure = self._project.bad_row_erasure
        if self._dry:
            return erasure.count(dataset, self._subject)
        return erasure.remove(dataset, self._subject, again=self._again)

    def _versions(self, dataset: str) -> dict[int, int]:
        latest = self._project.datasets.history(dataset).latest
        if latest is None or latest.mode == "reference":
            return {}
        if not self._dry:
            self._project.version_removal.finish(dataset)  # what a vacuum that was cut short has left may hold the rows
        rewriting = self._project.row_erasure.rewriting(dataset, self._subject, self._id)
        if self._dry:
            return rewriting.found()
        found = rewriting.run()
        self._project.row_erasure.sweep(dataset)
        return found

    # -- blobs -----------------------------------------------------------------------------------------------------------

    def _blobs(self) -> tuple[int, int, list[str]]:
        search = BlobSearch(self._project.blobs, self._project.values, self._subject)
        found = [hit for blob in sorted(set(self._named())) if (hit := search.look(blob))]
        bundles = [hit.digest for hit in found if hit.kind == "bundle"]
        hits = [hit for hit in found if hit.kind != "bundle"]
        if hits and not self._dry:
            self._erase(search, hits)
        rewritten = sum(hit.rows is not None for hit in hits)
        return rewritten, len(hits) - rewritten, bundles

    def _named(self) -> Iterable[Named]:
        ledger = self._project.ledger
        streams = [f"run/{run}" for run in self._runs] + [f"monitor/{name}" for name in self._endpoints]
        for name in streams:
            yield from named(ledger.stream(name).events())

    def _erase(self, search: BlobSearch, hits: list[Found]) -> None:
        pairs = [(digest, search.rewritten(hit)) for hit in hits for digest in search.members(hit)]
        body = {"erasure": self._id, "blobs": [{"old": old, "new": new} for old, new in pairs]}
        self._project.ledger.stream(STREAM).append(PlainRecord("blobs.erased", body))
        for old, new in pairs:
            drop(self._project.services, old, Tombstone(erasure=self._id, new=new))

    # -- this machine, and what is left -----------------------------------------------------------------------------------

    def _local(self) -> int:
        """Remove what this machine keeps of runs that failed and of reports, where a text of the subject stands in it, and of sets' files."""
        folders = [self._project.state / "runs" / run for run in self._runs]
        folders += [self._project.state / "reports" / name for name in self._endpoints]
        hits = [file for folder in folders for file in files_with(folder, self._subject.words)]
        for file in hits:
            file.unlink()
        for name in self._datasets:
            self._project.filesets.forget(name)
        return len(hits)

    def _remaining(self) -> list[str]:
        if self._dry:
            return []
        return [str(file) for file in files_with(self._project.state, self._subject.words)]

    def _models(self, found: dict[str, dict[int, int]]) -> list[str]:
        """Return the models made from versions that have, or before an earlier try had, the rows."""
        had = {f"data:/{name}@{version}" for name, versions in found.items() for version in versions}
        for name in self._datasets:
            for event in self._project.datasets.stream(name).events():
                if event.type == ERASED and event.body["subject"] == self._subject.digest:
                    changed = [each for each in event.body["versions"] if each["was"] != each["digest"]]
                    had |= {f"data:/{name}@{change['version']}" for change in changed}
        return sorted(ref for ref in downstream(self._project, sorted(had)) if ref.startswith("models:/"))


def unfinished(project: Project) -> dict[str, str]:
    """Return the erasures that were begun and neither done nor repeated since: id → the subject's keyed digest."""
    open_: dict[str, str] = {}
    for event in project.ledger.stream(STREAM).events():
        if event.type == "erasure.begun":
            open_[event.body["erasure"]] = event.body["subject"]
        elif event.type == "erasure.done":
            open_ = {id_: subject for id_, subject in open_.items() if subject != event.body["subject"]}
    return open_
