"""Erasing a subject: from dataset versions, captured predictions, labels, steps' values and reports, with proof in the ledger."""
