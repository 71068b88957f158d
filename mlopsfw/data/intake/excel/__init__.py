"""Excel workbooks as record batches."""
