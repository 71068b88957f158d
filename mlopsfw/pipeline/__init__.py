"""Pipelines: the graph of steps, the cache that is never stale, and the coordinator that runs it all.

Modules, from the bottom up: `step` (what a step is), `graph` (steps wired by named inputs), `source`, `closure` and `codebase` (what
code a step reaches), `environment`, `fingerprint` (the cache key, explained), `values` (results to artifacts and back), `parts`,
`worker` (one attempt), `cache`, `record` (a run as its events), `runner` (the coordinator), `sitting`, `plan`, `why`, `display`.
"""
