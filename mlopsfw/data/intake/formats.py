"""`Formats`: the installed formats, each imported when the first file of its suffix is read, and the files of a load one after the other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path, PurePath
from threading import Lock
from typing import TYPE_CHECKING

from mlopsfw.data.intake.open_file import inner_suffix
from mlopsfw.data.intake.paths import SourceFile, partition_types, with_partition
from mlopsfw.kernel.base.errors import DataError, MlopsfwError, PluginError, UsageError
from mlopsfw.kernel.roles.reading import ReadRequest

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.data.intake.quarantine import Quarantine
    from mlopsfw.data.intake.type_inference import Guesses
    from mlopsfw.kernel.roles.reading import Format, ReadOptions
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
                self._built[suffix] = self._build(suffix.removeprefix("."))
            return self._built[suffix]

    def suffix_for(self, media_type: str) -> str:
        """Return the suffix of files of a media type, empty where no format that works reads them. This asks every format."""
        for suffix in self.suffixes:
            with contextlib.suppress(PluginError):  # it is warned about, and may not be the one
                if media_type in self._of(suffix).media_types:
                    return suffix
        return ""

    def read(
        self,
        files: Sequence[SourceFile | SourceTable],
        options: ReadOptions,
        guesses: Guesses,
        quarantine: Quarantine | None = None,
    ) -> Generator[pa.RecordBatch, None, None]:
        """Yield the rows of `files`, one after the other; bad rows go to `quarantine`, or are errors without one.

        Raises:
            WrongGuess: What was guessed does not hold; read again, once `guesses` has learnt the error.
            DataError: A file is not there, cannot be read (with the line where it has lines), grows beyond its allowance, or changed
                while it was read.
        """
        types = partition_types([file for file in files if isinstance(file, SourceFile)])
        for file in files:
            if not isinstance(file, SourceFile):
                yield from file.read(options, quarantine)
                continue
            request = ReadRequest(
                path=file.path,
                options=options,
                sheet=file.sheet,
                learned=guesses.columns,
                schema=guesses.schema(file.path),
                rejects=quarantine,
            )
            with called(file), _unchanged(file.path):
                batches = self.of(file.path).read(request)
                yield from with_partition(batches, file, types) if file.partition else batches


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
    yield
    after = path.stat()
    if (before.st_size, before.st_mtime_ns, before.st_ino) != (after.st_size, after.st_mtime_ns, after.st_ino):
        raise DataError(
            f"{path} changed while mlopsfw read it",
            hint="Nothing was committed. Try again after the writing has ended.",
        )
