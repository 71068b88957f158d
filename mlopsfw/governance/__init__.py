"""Governance: who acts, what people write, and the erasure of a subject."""
