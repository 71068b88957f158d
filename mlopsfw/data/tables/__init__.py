"""Tables: logical digests, Parquet files, manifests and plain tables. Knows no versions."""
