"""Data contracts: what the rows of a table must be, kept as a file; inferred from rows that are good, and checked on those that come.

`loading` and `writing` are the file, `model` is what it says, `checks` turns it into expressions, `judging` evaluates them in one pass,
`inference` writes a first contract. `subjects` reads the rows of files. Versions of datasets are checked by `mlopsfw.data.datasets.checking`.
"""

from __future__ import annotations

from mlopsfw.data.contracts.loading import load_contract, read_contract
from mlopsfw.data.contracts.model import Contract
from mlopsfw.data.contracts.results import Report, Result

__all__ = ["Contract", "Report", "Result", "load_contract", "read_contract"]
