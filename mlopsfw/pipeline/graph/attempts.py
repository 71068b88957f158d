"""What engines need for the attempts of steps: how many threads a process may use, and the result of an attempt that never began."""

from __future__ import annotations

from mlopsfw.kernel.roles.engine import Failure, Resources, StepResult

_LIBRARIES = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "RAYON")  # torch and Arrow read OpenMP's

NEVER_BEGAN = StepResult(
    failure=Failure(type="KeyboardInterrupt", message="stopped before it began", exit_code=130, retryable=False)
)
"""The result of an attempt that was cancelled while it waited."""


def thread_limits(resources: Resources) -> dict[str, str]:
    """Return the variables by which libraries keep to the cores of a step: none where it asks for none.

    They must be set before a worker's process starts. Each of the step's processes gets an equal number of threads.
    """
    names = (*(f"{name}_NUM_THREADS" for name in _LIBRARIES), "POLARS_MAX_THREADS")
    return dict.fromkeys(names, str(max(1, int(resources.cpus) // resources.processes))) if resources.cpus else {}
