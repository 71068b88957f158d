"""Removal: erase a person's rows from versions, and vacuum versions that nothing needs.

`erasure` and `vacuum` do it, `holding` and `needs` are what the component contributes to `data forget` and `data vacuum`.
"""
