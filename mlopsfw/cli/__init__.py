"""The command line's entrance. `mlopsfw --help` is answered from `verbs` alone; click is imported for anything else."""

from __future__ import annotations

import os
import sys

__all__ = ["main", "run"]


def main() -> None:
    """Run the command line; print errors as one line with what to do next, and exit with their code."""
    from mlopsfw.pipeline.run.terminal import accept_any_text

    _open_closed_streams()
    accept_any_text(sys.stdout)
    accept_any_text(sys.stderr)
    try:
        sys.exit(run(sys.argv[1:]))
    except KeyboardInterrupt:  # before or after the verb, which answers for itself
        sys.stderr.write("Interrupted.\n")
        sys.exit(130)


def _open_closed_streams() -> None:
    """Open what is closed of the three standard streams: else a file of ours gets its number, and what libraries print."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))


def run(args: list[str]) -> int:
    """Run one command line in this process; return the exit code."""
    if args in ([], ["-h"], ["--help"]):
        from mlopsfw.cli.verbs import help_text

        text = help_text({"project": os.environ.get("MLOPSFW_PROJECT"), "env": os.environ.get("MLOPSFW_ENV")})
        return _printed(text)
    from mlopsfw.cli.failure import print_warnings_plainly
    from mlopsfw.cli.root import invoke
    from mlopsfw.data.tables.readahead import bound_readahead

    print_warnings_plainly()
    bound_readahead()
    return invoke(args)


def _printed(text: str) -> int:
    """Print a page; return the exit code, 1 where nobody reads it or there is no room for it."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - else Python writes once more at its end
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"error: the output: {error.strerror}\n")
        return 1
    return 0
