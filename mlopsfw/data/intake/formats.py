"""`Formats`: the installed formats, each imported when the first file of its suffix is read, and the files of a load one after the other."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path, PurePath
from threading import Lock
from typing import TYPE_CHECKING

from msgspec.structs import replace

from mlopsfw.data.intake.border import Declared, check_facts, check_format, sound_batches
from mlopsfw.data.intake.open_file import inner_suffix
from mlopsfw.data.intake.paths import SourceFile, partition_types, with_partition
from mlopsfw.kernel.base.errors import DataError, MlopsfwError, PluginError, UsageError
from mlopsfw.kernel.roles.reading import ReadOptions, ReadRequest

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.data.intake.type_inference import Guesses
    from mlopsfw.kernel.roles.reading import FileFacts, Format, RejectSink
    from mlopsfw.kernel.roles.source import SourceTable


class Formats:
    """The formats that plugins offer.

    Args:
        names: Their names, which are the suffixes that they read, without the dot.
        build: Makes the format of such a name, importing its plugin alone.

    Attributes:
        suffixes: The suffixes.
    """

    def __init__(self, names: Sequence[str], build: Callable[[str], Format]) -> None:
        self.suffixes = tuple(f".{name}" for name in names)
        self._build, self._built, self._lock = build, dict[str, "Format"](), Lock()

    def check(self, path: PurePath) -> str:
        """Return the suffix that says what is in a file. Raise `UsageError` where no format reads it."""
        suffix = inner_suffix(path)
        if suffix not in self.suffixes:
            raise UsageError(
                f"{path}: its suffix does not name a known format",
                hint=f"Known suffixes: {', '.join(self.suffixes)}, each also with .gz or .zip.",
            )
        return suffix

    def of(self, path: PurePath) -> Format:
        """Return the format of a file, by its suffix. Raise `UsageError`, and `PluginError` where its plugin cannot be used."""
        return self._of(self.check(path))

    def _of(self, suffix: str) -> Format:
        with self._lock:  # a plugin is loaded once
            if suffix not in self._built:
                self._built[suffix] = check_format(self._build(suffix.removeprefix(".")), suffix)
            return self._built[suffix]

    def suffix_for(self, media_type: str) -> str:
        """Return the suffix of files of a media type, empty where no format that works reads them. This asks every format."""
        for suffix in self.suffixes:
            with contextlib.suppress(PluginError):  # it is warned about, and may not be the one
                if media_type in self._of(suffix).media_types:
                    return suffix
        return ""

    def taken(self, path: PurePath, options: ReadOptions, sheet: str = "") -> tuple[ReadOptions, str]:
        """Return the options and the sheet without what files of this format do not take."""
        takes, default = self.of(path).options, ReadOptions()
        kept = {name: getattr(default, name) for name in ("separator", "encoding") if name not in takes}
        return replace(options, **kept), sheet if "sheet" in takes else ""

    def check_options(self, paths: Sequence[PurePath], options: ReadOptions, sheet: str = "") -> None:
        """Raise `UsageError` for an option that was given and that no file takes. Tables, which are no files, take none."""
        readers = [self.of(path) for path in paths]
        takes = {name for reader in readers for name in reader.options}
        default = ReadOptions()
        given = {"separator": options.separator, "encoding": options.encoding, "sheet": sheet}
        for name, value in given.items():
            if value != getattr(default, name, "") and name not in takes:
                kinds = ", ".join(dict.fromkeys(self.check(path) for path in paths)) or "a table"
                offered = ", ".join(f"--{each}" for each in ("type", "null", *sorted(takes)))
                raise UsageError(
                    f"{name} is no option of {kinds}",
                    hint=f"Omit --{name} (`{name}` in a step). {'Such files take' if paths else 'It takes'} {offered}.",
                )

    def read(
        self,
        files: Sequence[SourceFile | SourceTable],
        options: ReadOptions,
        guesses: Guesses,
        quarantine: RejectSink | None = None,
        columns: tuple[str, ...] = (),
    ) -> Generator[pa.RecordBatch, None, None]:
        """Yield the rows of `files`, one after the other; bad rows go to `quarantine`, or are errors without one.

        Args:
            files: The files and tables.
            options: How the files are written.
            guesses: What earlier readings taught.
            quarantine: Takes bad rows.
            columns: The columns that are wanted, in this order; empty for all.

        Raises:
            WrongInference: What was inferred does not hold; `guesses.settled` reads again.
            UsageError: No file takes an option that was given.
            DataError: A file is not there, cannot be read (with the line where it has lines), grows beyond its allowance, or changed
                while it was read.
            PluginError: A plugin gave something else than batches of one schema.
        """
        here = [file for file in files if isinstance(file, SourceFile)]
        for each in here:
            with called(each):
                self.of(each.path)
        self.check_options([file.path for file in here], options, next((file.sheet for file in here if file.sheet), ""))
        types = partition_types(here)
        for file in files:
            if isinstance(file, SourceFile):
                batches = self._of_file(file, options, guesses, quarantine, columns)
                batches = with_partition(batches, file, types) if file.partition else batches
            else:
                rows = sound_batches(file, file.read(options, quarantine), file.shown, is_file=False)
                batches = Declared(options, file.shown, file.shown, quarantine).batches(rows)
            yield from (batch.select(list(columns)) for batch in batches) if columns else batches

    def _of_file(
        self,
        file: SourceFile,
        options: ReadOptions,
        guesses: Guesses,
        quarantine: RejectSink | None,
        columns: tuple[str, ...],
    ) -> Iterator[pa.RecordBatch]:
        reader = self.of(file.path)
        request = ReadRequest(
            path=file.path,
            options=options,
            sheet=file.sheet,
            columns=() if options.types or file.partition else columns,
            learned=guesses.columns,
            schema=guesses.schema(file.path),
            rejects=quarantine,
        )
        with called(file), _unchanged(file.path):
            batches: Iterator[pa.RecordBatch] = sound_batches(
                reader, reader.read(request), str(file.path), is_file=True
            )
            if reader.typed:
                batches = Declared(options, str(file.path), file.path.name, quarantine).batches(batches)
            yield from batches

    def describe(self, path: Path) -> FileFacts:
        """Return what a file says of itself before its rows are read. Raise `DataError`, and `PluginError` for something else."""
        reader = self.of(path)
        with _unchanged(path):
            facts = reader.describe(ReadRequest(path=path))
        return check_facts(reader, facts, str(path))


@contextlib.contextmanager
def called(file: SourceFile) -> Iterator[None]:
    """Call a copy in errors what it is a copy of."""
    try:
        yield
    except MlopsfwError as error:
        if file.shown:
            error.message = error.message.replace(str(file.path), file.shown)
        raise


@contextlib.contextmanager
def _unchanged(path: Path) -> Iterator[None]:
    try:
        before = path.stat()
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    if not stat.S_ISREG(before.st_mode):
        raise DataError(
            f"{path} is no regular file", hint="Files are read more than once: write a pipe to a file first."
        )
    yield
    after = path.stat()
    if (before.st_size, before.st_mtime_ns, before.st_ino) != (after.st_size, after.st_mtime_ns, after.st_ino):
        raise DataError(
            f"{path} changed while mlopsfw read it",
            hint="Nothing was committed. Try again after the writing has ended.",
        )
