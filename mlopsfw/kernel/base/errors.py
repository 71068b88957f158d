"""The errors of mlopsfw, as one tree.

Every error says what was wrong, where (file, key, plugin and its version) and what to do next. `exit_code` is what the
command line returns for it. Nothing here formats tracebacks or prints: that is `mlopsfw.cli`'s.

    MlopsfwError                        1
    ├── UsageError                      2   the request itself is wrong; nothing was run
    │   ├── ConfigError                     mlopsfw.toml, an overlay or --set: file, line, key, nearest name
    │   ├── UnknownName                     a step, run, model, alias, dataset or plugin of that name does not exist
    │   └── InvalidReference                `models:/…`, `runs:/…`, `data:/…` that cannot be read
    ├── StepFailed                      1
    │   └── StepTimeout
    ├── GateRefused                     3
    ├── DriftFound                      4
    ├── ContractBroken                  4   rows break a data contract
    ├── PluginError                     5
    │   ├── PluginConflict                  two providers of one name
    │   ├── PluginApiMismatch               built for another major version of the hooks
    │   ├── PluginBroken                    failed at import or registration; carries the stored cause
    │   ├── PluginAborted                   raised SystemExit or the like, which would have ended mlopsfw; carries it
    │   └── MissingExtra                    an optional dependency is absent; names the command that installs it
    ├── StorageError                    1
    │   ├── NotFound
    │   ├── StorageFull
    │   ├── StorageUnavailable              after retries
    │   ├── Corrupt                         stored bytes do not match their digest
    │   └── WrongKey                        stored bytes are encrypted, and not with the key that was given
    ├── LedgerError                     1
    │   ├── Conflict                        the precondition of an append no longer holds
    │   ├── StreamSealed
    │   ├── Fenced                          a newer epoch has taken this run, lease or endpoint over
    │   ├── ChainBroken                     an entry does not carry the hash of the one before it
    │   └── NewerVersion                    written by a newer mlopsfw
    ├── DataError                       1
    │   ├── TablesUnsupported               blobs are encrypted, and tables are not
    │   ├── ReferenceChanged                a source registered by reference is no longer what was pinned
    │   ├── Erased                          the rows were erased on request
    │   ├── Vacuumed                        the rows were removed, since nothing needed them
    │   └── SignatureMismatch               rows do not fit the model's signature
    ├── BundleError                     1
    │   ├── AnswerMismatch                  a model's answer is not what its manifest declares
    │   ├── UnknownFormat
    │   └── GoldenMismatch                  the loaded model does not reproduce its golden rows
    │       └── ServingSkew                 serving makes other features of a row than training
    ├── SecretUnavailable               1   a store of secrets cannot be reached, or does not answer now
    ├── ServingError                    1
    └── DeliveryFailed                  1   an alerter could not hand an alert over; the outbox tries again
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self


def text_of(error: BaseException) -> str:
    """Return an exception's type and text. The `__str__` of a plugin's exception may raise, or end the process."""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - the text of an error must not be another
        text = "the error has no text"
    return f"{type(error).__name__}{f': {text}' if text else ''}"


class MlopsfwError(Exception):
    """Base of everything mlopsfw raises on purpose.

    Args:
        message: What was wrong and where.
        hint: What to do next, as an imperative sentence.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class UsageError(MlopsfwError):
    """The request itself is wrong; nothing was run."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration file, overlay or override is wrong.

    Args:
        message: What was wrong.
        file: The file it was found in, or None for `--set`.
        line: 1-based line in that file, where known.
        key: Dotted key, such as `trainer.torch.epochs`.
        hint: What to do next, usually the nearest known name.
    """

    def __init__(
        self, message: str, *, file: Path | None = None, line: int | None = None, key: str = "", hint: str = ""
    ) -> None:
        location = "".join((f"{file}" if file else "", f":{line}" if line else "", ": " if file else ""))
        super().__init__(f"{location}{f'{key}: ' if key else ''}{message}", hint=hint)
        self.problem, self.file, self.line, self.key = message, file, line, key


class UnknownName(UsageError):
    """Something was asked for by a name that does not exist."""


class InvalidReference(UsageError):
    """A reference such as `models:/name@alias` cannot be read."""


class StepFailed(MlopsfwError):
    """A step of the pipeline failed; the run can be resumed."""


class StepTimeout(StepFailed):
    """A step ran past its time limit and was stopped."""


class GateRefused(MlopsfwError):
    """A gate refused the candidate."""

    exit_code = 3


class DriftFound(MlopsfwError):
    """A check found drift and was asked to fail on it."""

    exit_code = 4


class ContractBroken(MlopsfwError):
    """Rows break a data contract."""

    exit_code = 4


class PluginError(MlopsfwError):
    """A plugin cannot be used."""

    exit_code = 5


class PluginConflict(PluginError):
    """Two distributions provide the same name."""


class PluginApiMismatch(PluginError):
    """A plugin was built for hooks of another major version."""


class PluginBroken(PluginError):
    """A plugin failed while it was imported, registered or built; the cause is chained."""


class PluginAborted(PluginError):
    """A plugin raised `SystemExit`, a `KeyboardInterrupt` of its own or another `BaseException`; it is chained."""


class MissingExtra(PluginError):
    """An optional dependency is absent.

    Args:
        feature: What needs it, in words.
        extra: The extra of the `mlopsfw` distribution that brings it.
    """

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs packages that are not installed", hint=f"Run: pip install 'mlopsfw[{extra}]'"
        )
        self.extra = extra


class StorageError(MlopsfwError):
    """The storage could not do what was asked."""


class NotFound(StorageError):
    """No object has that key."""


class StorageFull(StorageError):
    """There is no room; nothing became visible. Works again once there is room."""


class StorageUnavailable(StorageError):
    """The store did not answer within the retry budget."""


class Corrupt(StorageError):
    """Stored bytes do not match their digest; they are never served."""


class WrongKey(StorageError):
    """Stored bytes are encrypted, and no key that was given opens them."""


class LedgerError(MlopsfwError):
    """The ledger refused or cannot be trusted."""


class Conflict(LedgerError):
    """The precondition of an append no longer holds; fold again and decide anew."""


class StreamSealed(LedgerError):
    """The stream has ended; nothing can be appended."""


class Fenced(LedgerError):
    """A newer epoch has taken over; this writer must stop."""


class ChainBroken(LedgerError):
    """An entry does not carry the hash of the one before it."""


class NewerVersion(LedgerError):
    """An entry or file was written by a newer mlopsfw and is not guessed at."""


class DataError(MlopsfwError):
    """Rows, tables or files are not as they must be."""


class TablesUnsupported(DataError):
    """The storage encrypts blobs, and nothing says that tables are encrypted, too."""


class ReferenceChanged(DataError):
    """A source registered by reference is no longer what was pinned."""


class Erased(DataError):
    """The rows referred to were erased on request."""


class Vacuumed(DataError):
    """The rows of a dataset's version were removed, since nothing needed them."""


class SignatureMismatch(DataError):
    """Rows do not fit the model's signature. The message begins with the place, unless the problem names it.

    Args:
        problem: What does not fit.
        column: The column, where it is one column.
        row: 0-based row, where it is one row.
    """

    def __init__(self, problem: str, *, column: str | None = None, row: int | None = None, hint: str = "") -> None:
        where = ", ".join([f"column {column!r}"] * bool(column) + [f"row {row}"] * (row is not None))
        is_named = where in problem or (row is None and repr(column) in problem)
        super().__init__(problem if is_named else f"{where}: {problem}", hint=hint)
        self.problem, self.column, self.row = problem, column, row

    def counted_from(self, first: int) -> Self:
        """Return the error with its row counted from `first`."""
        row = None if self.row is None else first + self.row
        return type(self)(self.problem, column=self.column, row=row, hint=self.hint)


class BundleError(MlopsfwError):
    """A model bundle is incomplete, altered or unreadable."""


class UnknownFormat(BundleError):
    """No runtime reads this format; there is no fallback loader."""


class AnswerMismatch(BundleError):
    """A model's answer is not what its manifest declares.

    Args:
        model: The model.
        output: The output, where it is one output.
        problem: What is wrong, with the row.
    """

    def __init__(self, model: str, output: str, problem: str) -> None:
        where = f"output {output!r}" if output else "its answer"
        super().__init__(
            f"{model}: {where}: {problem}", hint="Mend the model or its runtime, or declare the outputs as they are."
        )
        self.output, self.problem = output, problem


class GoldenMismatch(BundleError):
    """The loaded model does not reproduce the golden rows stored with it."""


class ServingSkew(GoldenMismatch):
    """Serving makes other features of a row than training did."""


class SecretUnavailable(MlopsfwError):
    """A store of secrets cannot be reached, or does not answer now. Whether the secret exists is not known."""


class ServingError(MlopsfwError):
    """An endpoint could not be started, reached or changed."""


class DeliveryFailed(MlopsfwError):
    """An alerter could not hand an alert over; the outbox tries again."""
