"""The ledger: everything that happens, as chains of events on plain storage. Agreement rests on `put_if_absent` alone.

`Ledger` opens streams; `Stream` appends and reads; `Watch` and `Lease` tell the living from the dead.
Folding events into state is the business of whoever owns a stream.
"""

from __future__ import annotations

from mlopsfw.kernel.ledger.ledger import Ledger
from mlopsfw.kernel.ledger.stream import Stream

__all__ = ["Ledger", "Stream"]
