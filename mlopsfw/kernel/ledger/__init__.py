"""The ledger: everything that happens, as chains of events on plain storage. Agreement rests on `put_if_absent` alone.

`Ledger` opens streams; `Stream` appends and reads. Leases are `mlopsfw.operations.lease`.
The owner of a stream folds its events into state.
"""

from __future__ import annotations

from mlopsfw.kernel.ledger.ledger import Ledger
from mlopsfw.kernel.ledger.stream import Stream

__all__ = ["Ledger", "Stream"]
