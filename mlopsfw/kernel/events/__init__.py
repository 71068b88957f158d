"""Events: the record types that components write to the ledger, and how old ones are read."""
