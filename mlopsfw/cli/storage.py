"""`storage`: maintain the storage as a whole."""

from __future__ import annotations

import click

from mlopsfw.cli.output import emit_json, json_option, pass_project
from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.project.facade import Project


@click.group()
def storage() -> None:
    """Rotate the key of encrypted blobs."""


@storage.command("rotate-key")
@json_option
@pass_project
def rotate_key(project: Project, *, as_json: bool) -> None:
    """Encrypt the keyring with a new key, and create a new key for new blobs.

    First write the new key before the old one: `encrypt = ["env:NEW", "env:OLD"]`. Run this verb. Then delete the old key from the list.
    """
    if project.vault is None:
        raise UsageError("blobs are not encrypted", hint='Set [storage] encrypt = "env:NAME" to encrypt new ones.')
    number = project.vault.keyring.rotate()
    by = project.config.encryption.encrypt[0]
    if as_json:
        emit_json({"ring": number, "key": by})
    else:
        click.echo(f"{by} now decrypts keyring {number}. Older keyrings were deleted.")
