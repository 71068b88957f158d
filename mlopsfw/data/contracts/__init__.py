"""Data contracts: files with rules for the rows of a table, inferred from good rows and checked on new ones.

`loading` and `writing` handle the file, `model` holds its rules, `checks` turns them into expressions, `evaluation` evaluates these in one
pass, `inference` writes a first contract. `subjects` reads the rows of files; `mlopsfw.data.datasets.checking` checks versions of datasets.

"""

from __future__ import annotations

from mlopsfw.data.contracts.loading import load_contract, read_contract
from mlopsfw.data.contracts.model import Contract
from mlopsfw.data.contracts.results import Report, Result

__all__ = ["Contract", "Report", "Result", "load_contract", "read_contract"]
