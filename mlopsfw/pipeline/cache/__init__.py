"""Cache keys and results: what a step's result depends on, and where it is stored."""
