"""CSV files as record batches."""
