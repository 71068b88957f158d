"""`EventRecord`: the body of one type of event. Each room declares its own in `events.py`; this knows none of them.

A field says by its annotation what else reads it. `Blob` is the digest of a blob: `doctor` looks for the blob, and an
erasure looks into it where the mark says what it holds. `Text` is a reference to free text, of a person or of code,
which can be erased.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

import msgspec

from mlopsfw.kernel.base.errors import LedgerError, UsageError
from mlopsfw.kernel.roles.artifact import BlobMark
from mlopsfw.kernel.roles.event import Event

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
"""Makes a body of one version one of the next. Pure: it runs at every read, and changes nothing stored."""

Blob = Annotated[str, BlobMark()]
"""The digest of a blob; empty for none."""
WordsBlob = Annotated[str, BlobMark("text")]
"""The digest of a blob of text that may quote values: a log, a traceback, a report."""
BundleBlob = Annotated[str, BlobMark("bundle")]
"""The digest of a model bundle."""


class TextMark:
    """Marks a field that refers to free text (`mlopsfw.governance.texts`)."""


Text = Annotated[str, TextMark()]
"""A reference to free text: what a person wrote, or what code said and may quote values; empty for none."""


class EventRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of one type of event, as this release writes it.

    Subclasses set `type` and `streams`, and with a changed body a new `schema` and the upcaster from the one before
    it. Fields that a body does not have take their defaults, and a body's fields that the record does not know are
    passed over.
    """

    type: ClassVar[str]
    """Dotted, in the past tense: `alias.moved`."""
    streams: ClassVar[tuple[str, ...]] = ()
    """Where it is written; a name in capitals stands for any: `model/MODEL`. Empty for the plugin's own streams."""
    schema: ClassVar[int] = 1
    """The version of the body."""
    upcasters: ClassVar[Mapping[int, Upcaster]] = {}
    """Version of the body → how it becomes one of the next."""

    @classmethod
    def of(cls, event: Event) -> Self:
        """Return the body of `event`, which is of this type. Raise `LedgerError` where the body is malformed."""
        try:
            return msgspec.convert(event.body, cls)
        except msgspec.ValidationError as error:
            raise LedgerError(
                f"{event.stream} #{event.seq}: the body of {cls.type} is malformed: {error}",
                hint="Restore the stream from a copy. `mlopsfw audit verify` lists all such events.",
            ) from None

    def body(self) -> dict[str, Any]:
        """Return what is stored. Raise `UsageError` for a value that no reader takes: it would spoil the stream."""
        body: dict[str, Any] = msgspec.to_builtins(self)
        try:
            msgspec.convert(body, type(self))
        except msgspec.ValidationError as error:
            raise UsageError(f"{self.type} cannot be recorded: {error}") from None
        return body


@dataclass(frozen=True, slots=True)
class PlainRecord:
    """An event of a type that no component declares: what plugins emit.

    Args:
        type: The type.
        facts: The body.
        schema: The version of the body.
    """

    type: str
    facts: Mapping[str, Any]
    schema: int = 1

    def body(self) -> dict[str, Any]:
        """Return what is stored."""
        return dict(self.facts)
