"""`WordHolding`: the free text of events in which a subject's value stands, such as the message of a failed step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from mlopsfw.governance.text_search import holds, pattern
from mlopsfw.governance.texts import blob_of
from mlopsfw.kernel.component import Held

if TYPE_CHECKING:
    from mlopsfw.governance.texts import Texts
    from mlopsfw.kernel.component import ErasureScope
    from mlopsfw.kernel.ledger import Ledger


class WordHolding:
    """Implements `mlopsfw.kernel.component.Holding` for free text. Whose author's key is gone is erased already.

    Args:
        ledger: Holds the events.
        texts: Reads their text.
        streams: Returns the streams whose events are searched.
    """

    def __init__(self, ledger: Ledger, texts: Texts, streams: Callable[[ErasureScope], Iterable[str]]) -> None:
        self._ledger, self._texts, self._streams = ledger, texts, streams

    def find(self, scope: ErasureScope) -> Held:
        """Return how many `messages` hold a text of the subject."""
        return Held({"messages": len(self._hits(scope))})

    def erase(self, scope: ErasureScope) -> Held:
        """Drop these messages as a whole; the events that refer to them stay."""
        hits = self._hits(scope)
        if hits:
            scope.bury([(digest, "") for digest in hits])
        return Held({"messages": len(hits)})

    def _hits(self, scope: ErasureScope) -> list[str]:
        wanted = pattern(scope.subject.words)
        if wanted is None:
            return []
        events = (event for name in dict.fromkeys(self._streams(scope)) for event in self._ledger.stream(name).events())
        words = self._texts.read(reference for event in events for reference in self._texts.references(event))
        return sorted(blob_of(reference) for reference, text in words.items() if holds(text.encode(), wanted))
