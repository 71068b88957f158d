"""Pipelines: the graph of steps, their cache, and the coordinator that runs them.

From the bottom up: `graph` (steps, wired by named inputs), `values` (results to artifacts and back), `cache` (the code that a step
reaches, cache keys, results by key), `partitions` (steps by parts), `run` (sessions, the coordinator, attempts, a run folded from its
events, the terminal's output).

"""
