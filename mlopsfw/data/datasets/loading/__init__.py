"""Loading: make a version of a dataset from rows, files, other systems' tables or an earlier version.

`load` reads sources, `commits` makes the version, `merge` joins the new rows with those there were, `bad_rows` keeps what was set aside.
"""
