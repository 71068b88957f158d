"""What a verb of a plugin is made with: the project that the command line's global options name, and output as every verb has it."""

from __future__ import annotations

from mlopsfw.cli.output import emit_json, json_option, pass_project, table

__all__ = ["emit_json", "json_option", "pass_project", "table"]
