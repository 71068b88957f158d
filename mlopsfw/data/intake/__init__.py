"""What people have, as record batches: files, workbooks, databases, other systems' tables, URLs and buckets. Knows nothing of versions.

`load_sources` makes a load's sources of what a user named (`places`): `paths` finds files here, `sources` asks the plugin of a URL's scheme or
of a folder's mark for files or a table. `formats` then reads each file by its suffix, through the plugin that claims it.
Bad rows go to `quarantine`. `inferred` reads one file for a verb that makes no dataset of it.
"""
