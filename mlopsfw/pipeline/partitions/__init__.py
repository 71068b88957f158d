"""Steps by parts: ranges of rows or items of a list, each a node of its own."""
