"""Personal columns: which are marked, and how their values are treated. See docs/privacy.md."""
