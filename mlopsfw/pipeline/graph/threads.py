"""How many threads a step's process may use."""

from __future__ import annotations

from mlopsfw.kernel.roles.engine import Resources

_LIBRARIES = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "RAYON")  # torch and Arrow read OpenMP's


def thread_limits(resources: Resources) -> dict[str, str]:
    """Return the variables by which libraries keep to the cores of a step: none where it asks for none.

    They must be set before a worker's process starts. Each of the step's processes gets an equal number of threads.
    """
    names = (*(f"{name}_NUM_THREADS" for name in _LIBRARIES), "POLARS_MAX_THREADS")
    return dict.fromkeys(names, str(max(1, int(resources.cpus) // resources.processes))) if resources.cpus else {}
