"""Governance: erasure of a subject."""
