"""Comparison of two versions of a dataset: rows by key or as a whole (`difference`), and the drift of columns (`version_drift`)."""
