"""What people have, as record batches: files, workbooks, databases, other systems' tables, URLs and buckets. Knows nothing of versions.

`load_sources` makes a load's sources of what a user named: `paths` finds files here, `remote` names what lies elsewhere and downloads
it. `formats` then reads each file by its suffix, through the plugin that claims it; `lakehouse` reads other systems' tables, `sql` a database.
Bad rows go to `quarantine`. `inferred` reads one file for a verb that makes no dataset of it.
"""
