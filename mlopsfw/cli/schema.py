"""`mlopsfw schema`: the JSON Schema of `mlopsfw.toml`."""

from __future__ import annotations

import json

import click

from mlopsfw.cli.output import document, keep_stdout_for_documents


@click.command()
def schema() -> None:
    """Print the JSON Schema of mlopsfw.toml: every key with its meaning, also the options of every installed plugin.

    For your editor, write mlopsfw schema > mlopsfw.schema.json, and make this the first line of mlopsfw.toml (Taplo and Even
    Better TOML read it): #:schema ./mlopsfw.schema.json
    """
    from mlopsfw.kernel.plugins.catalog import Catalog
    from mlopsfw.kernel.plugins.manager import PluginManager
    from mlopsfw.project.config.schema import config_schema

    keep_stdout_for_documents()
    document(json.dumps(config_schema(PluginManager(Catalog())), indent=2))
