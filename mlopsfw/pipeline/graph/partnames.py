"""The names of parts: the step's name with the number of the part. No step's own name contains a bracket (`ids.check_name`)."""

from __future__ import annotations


def part_name(name: str, number: int) -> str:
    """Return the name of part `number`, from 0, of a step or an output."""
    return f"{name}[{number}]"


def step_of(name: str) -> str:
    """Return the name of the step of which `name` is a part, or `name` itself."""
    return name.partition("[")[0]


def is_part(name: str) -> bool:
    """Return whether `name` is the name of a part."""
    return step_of(name) != name
