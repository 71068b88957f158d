"""Personal columns and secrets: which columns are marked, how their values are treated, where a secret lies. See docs/privacy.md."""
