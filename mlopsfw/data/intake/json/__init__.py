"""JSON lines as record batches."""
