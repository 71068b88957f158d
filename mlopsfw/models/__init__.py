"""Models: bundles, the registry, evaluation."""
