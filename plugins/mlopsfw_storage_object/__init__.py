"""Storage `object`: a local folder, or whatever obstore opens (`s3://`, `gs://`, `az://`).

On a local disk durability is our own, since obstore neither fsyncs nor renames with care; elsewhere it is the store's.
What is kept under which key is the kernel's business.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import unquote, urlsplit

import msgspec

from mlopsfw.errors import UsageError
from mlopsfw.roles import Provider, hookimpl

if TYPE_CHECKING:
    from mlopsfw.roles import Storage, StorageHost


class ObjectConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Configure `[storage.object]`.

    Args:
        url: `file:PATH` (relative to the project) or `file:///PATH`, `s3://bucket/prefix`, `gs://…`, `az://…`; or a reference to one of these, such as
            `env:NAME`.
        options: Options of the store as obstore and deltalake name them (`aws_endpoint`, `aws_region`, `allow_http`, …); secrets are
            references, such as `env:NAME`.
        attempts: How often a request is tried.
        budget: Seconds that one operation may take with all its tries.
    """

    url: str = "file:.mlopsfw/store"
    options: dict[str, str] = {}
    attempts: Annotated[int, msgspec.Meta(ge=1, le=20)] = 6
    budget: float = 30.0


def build(config: ObjectConfig, host: StorageHost) -> Storage:
    """Open the storage that `config.url` names: `file:PATH` is a folder here, and any other reference one to the URL."""
    url = config.url if config.url.startswith("file:") else host.secrets.reveal(config.url)
    scheme, colon, rest = url.partition(":")
    if not colon or not scheme.isalnum():
        raise UsageError(f"storage url {config.url!r} has no scheme", hint="Write file:PATH or s3://bucket/prefix.")
    if scheme == "file":
        from mlopsfw_storage_object.local import LocalStorage

        path = unquote(rest.removeprefix("//"))
        return LocalStorage(host.root / Path(path).expanduser())
    from mlopsfw_storage_object.remote import open_remote

    _refuse_credentials(url)
    options = {key: host.secrets.reveal(value) for key, value in config.options.items()}
    return open_remote(url, options, attempts=config.attempts, budget=config.budget)


def _refuse_credentials(url: str) -> None:
    """Refuse a URL that is more than a place: tables are addressed below it, and events repeat it."""
    try:
        parts = urlsplit(url)
    except ValueError:  # its words hold parts of the URL
        raise UsageError("the storage's URL cannot be read", hint="Write s3://bucket/prefix.") from None
    user = parts.username and not parts.scheme.startswith("abfs")  # abfss://container@account
    if user or parts.password or parts.query or parts.fragment:
        raise UsageError(
            "the storage's URL holds a user, a password or a query",
            hint='Write credentials as options: azure_storage_sas_token = "env:NAME" and the like.',
        )


@hookimpl
def mlopsfw_storages() -> Iterable[Provider[Storage]]:
    """Offer the storage `object`."""
    yield Provider("object", ObjectConfig, build, "A local folder, or S3, GCS or Azure through obstore")
