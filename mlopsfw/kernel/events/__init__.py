"""Events: the base of the record types that components write to the ledger, and the registry that reads old ones."""
