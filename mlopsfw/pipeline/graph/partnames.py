"""What a part of a step is called: the step's name and the part's number. No step's own name holds a bracket (`ids.check_name`)."""

from __future__ import annotations


def part_name(name: str, number: int) -> str:
    """Return what part `number`, from 0, of a step or of an output is called."""
    return f"{name}[{number}]"


def step_of(name: str) -> str:
    """Return the name of the step that `name` is a part of, or is."""
    return name.partition("[")[0]


def is_part(name: str) -> bool:
    """Return whether `name` is that of a part."""
    return step_of(name) != name
