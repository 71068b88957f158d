"""Rows of a database query as record batches."""
