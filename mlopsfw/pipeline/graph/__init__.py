"""The graph of a pipeline: steps, wired by named inputs, and checked before anything runs."""
