"""What people have, as record batches: files, workbooks, databases, other systems' tables, URLs and buckets. Knows nothing of versions.

`load_sources` makes a load's sources of what a user named: `paths` finds files here, `remote` names what lies elsewhere and downloads
it. `readers` then reads each by its format: `csv`, `json`, `columnar`, `excel`, `lakehouse`; `sql` reads a database. The modules called
`tolerant` set bad rows aside. `inferred` reads one file for a verb that makes no dataset of it.
"""
