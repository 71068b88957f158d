"""Personal data and secrets at rest: marked columns, erasure of a subject, encryption of blobs. See docs/privacy.md."""
