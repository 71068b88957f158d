"""The kernel: what everything else stands on, and what knows none of it."""
