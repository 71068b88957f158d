"""Move append-log segments into the Delta tables `captures/<endpoint>` and `labels/<model>`: at least once, in order, resumable.

A crash between the append to a table and the record of the progress repeats rows. Readers drop rows with the same position in the log.

"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.capturelog import appendlog
from mlopsfw.capturelog.records import Header, LabelRows, Predictions, Record, decode_header, decode_record
from mlopsfw.kernel.base.errors import NotFound
from mlopsfw.serving.captures.frames import Placed, beside, logged_labels_frame, predictions_frame

if TYPE_CHECKING:
    from mlopsfw.data.tables.plain import PlainTables

_BATCH = 200_000  # rows per commit: bounds memory after a long backlog
_PROGRESS = "progress.json"
_ASIDE = "-aside"


def compact(folder: Path, tables: PlainTables) -> int:
    """Move every complete record of `folder` into its table; return how many predictions they hold.

    One process works at a time; others wait. When its writer is gone and all its records are in the tables, a segment is deleted, or
    renamed and kept if its last record is incomplete.
    """
    with _alone(folder):
        return sum(_segment(path, tables) for path in appendlog.segments(folder))


def put_aside(folder: Path) -> list[Path]:
    """Rename every segment, so that its server begins a new one. Readers still read it under the new name."""
    renamed = []
    with _alone(folder):
        progress = _progress(folder)
        for path in appendlog.segments(folder):
            new = path.with_name(f"{path.stem}{_ASIDE}{appendlog.SUFFIX}")
            if path.name in progress:  # recorded first: a crash in between repeats rows and loses none
                progress[new.name] = progress[path.name]
                _write(folder, progress)
            renamed.append(path.rename(new))
    return renamed


def _segment(path: Path, tables: PlainTables) -> int:
    finished = not appendlog.is_open(
        path
    )  # asked before reading, so that reading sees everything that a dead writer wrote
    moved, end = 0, 0
    for header, records, end in _batches(path, _offset(path)):
        moved += _store(header, path.stem.partition(_ASIDE)[0], records, tables)
        _note(path, end)
    if finished:
        _put_away(path, max(end, _offset(path)))
    return moved


def _batches(path: Path, offset: int) -> Iterator[tuple[Header, list[Placed[Record]], int]]:
    first = next(appendlog.read(path), None)
    if first is None:
        return
    header, rows, end = decode_header(first[1]), 0, 0
    batch: list[Placed[Record]] = []
    for end, payload in appendlog.read(path, max(offset, first[0])):
        record = decode_record(payload)
        batch.append((end, record))
        rows += len(record.ids)
        if rows >= _BATCH:
            yield header, batch, end
            batch, rows = [], 0
    if batch:
        yield header, batch, end


def _store(header: Header, segment: str, records: list[Placed[Record]], tables: PlainTables) -> int:
    predictions = [(offset, r) for offset, r in records if isinstance(r, Predictions)]
    labels = [(offset, r) for offset, r in records if isinstance(r, LabelRows)]
    if predictions:
        name = f"captures/{header.endpoint}"
        tables.append(name, beside(predictions_frame(header, segment, predictions), _schema(tables, name)))
    if labels:
        tables.append(f"labels/{header.model}", logged_labels_frame(header, segment, labels))
    return sum(len(r.ids) for _, r in predictions)


def _schema(tables: PlainTables, name: str) -> Mapping[str, Any]:
    try:
        return tables.scan(name).collect_schema()
    except NotFound:
        return {}


def _put_away(path: Path, read: int) -> None:
    if read < path.stat().st_size:
        path.rename(
            path.with_suffix(".torn")
        )  # the machine crashed in the middle of a record; the segment is kept for inspection
    else:
        path.unlink()
    progress = _progress(path.parent)
    progress.pop(path.name, None)
    _write(path.parent, progress)


def _progress(folder: Path) -> dict[str, int]:
    try:
        return msgspec.json.decode((folder / _PROGRESS).read_bytes(), type=dict[str, int])
    except FileNotFoundError:
        return {}


def _offset(path: Path) -> int:
    return _progress(path.parent).get(path.name, 0)


def _note(path: Path, end: int) -> None:
    _write(path.parent, {**_progress(path.parent), path.name: end})


def _write(folder: Path, progress: dict[str, int]) -> None:
    new = folder / f"{_PROGRESS}.new"
    with new.open("wb") as file:
        file.write(msgspec.json.encode(progress))
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / _PROGRESS)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[Any]:
    import fcntl

    with (folder / "compact.lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
