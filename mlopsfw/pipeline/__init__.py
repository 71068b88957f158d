"""Pipelines: the graph of steps, the cache that is never stale, and the coordinator that runs it all.

Rooms, from the bottom up: `graph` (what a step is, and steps wired by named inputs), `values` (results to artifacts and back), `cache`
(what code a step reaches, the cache key, results by key), `partitions` (steps by parts), `run` (sessions, the coordinator, one attempt,
a run as its events, what a person sees).
"""
