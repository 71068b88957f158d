"""Tables as such: logical digests, Parquet files, manifests, plain tables. Knows no versions."""
