"""What people have, as record batches: files, workbooks, databases, other systems' tables, URLs and buckets. Knows nothing of versions.

`gathered` makes a load's sources of what a user named: `located` finds files here, `httpsource` and `objectsource` name what lies
elsewhere, `fetch` brings it. `reading` then reads each by its format: `csv…`, `json…`, `parquetsource`, `excelsource`, `tablesource`;
`sqlsource` reads a database. `…tolerant` sets bad rows aside.
"""
