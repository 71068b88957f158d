"""The command line's entrance. `mlopsfw --help` is answered from `verbs` alone; click is imported for anything else."""

from __future__ import annotations

import os
import sys

__all__ = ["main", "run"]


def main() -> None:
    """Run the command line; print errors as one line with what to do next, and exit with their code."""
    from mlopsfw.pipeline.run.terminal import accept_any_text

    accept_any_text(sys.stdout)
    accept_any_text(sys.stderr)
    sys.exit(run(sys.argv[1:]))


def run(args: list[str]) -> int:
    """Run one command line in this process; return the exit code."""
    if args in ([], ["-h"], ["--help"]):
        from mlopsfw.cli.verbs import help_text

        sys.stdout.write(
            help_text({"project": os.environ.get("MLOPSFW_PROJECT"), "env": os.environ.get("MLOPSFW_ENV")})
        )
        return 0
    from mlopsfw.cli.failure import print_warnings_plainly
    from mlopsfw.cli.root import invoke
    from mlopsfw.data.tables.readahead import bound_readahead

    print_warnings_plainly()
    bound_readahead()
    return invoke(args)
