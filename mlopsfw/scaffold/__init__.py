"""What `mlopsfw plugins new ROLE NAME` copies: a small plugin that works for each role, and its tests in `kits`.

Each module is complete and passes its kit as it stands. The copy gets its own name in place of `sample`. Nothing imports
these modules but the tests: the command line reads them as files.
"""
