"""Opening a bucket (`s3://`, `gs://`, `az://`) through obstore. Options have the names of obstore and deltalake."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.base.lazy import lazy

if TYPE_CHECKING:
    from obstore import store as stores
else:
    stores = lazy("obstore.store")

_CLIENT = frozenset(
    {"allow_http", "allow_invalid_certificates", "proxy_url", "timeout", "connect_timeout", "user_agent"}
)


def open_store(url: str, options: Mapping[str, str], budget: float, label: str) -> stores.ObjectStore:
    """Open the store at `url` without a request to it. The store retries nothing.

    Args:
        url: The bucket, and a prefix.
        options: Options of the store and its client. Missing ones come from the environment.
        budget: Seconds that one request may take.
        label: The URL without secrets, for messages.

    Raises:
        UsageError: The URL or an option is not one that obstore knows.
    """
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    config: dict[str, Any] = {key: value for key, value in options.items() if key.lower() not in _CLIENT}
    client: dict[str, Any] = {"timeout": f"{budget:g}s", "connect_timeout": "5s"}
    client |= {key.lower(): _plain(value) for key, value in options.items() if key.lower() in _CLIENT}
    try:
        store: Any = from_url(
            url,
            config=config or None,  # type: ignore[call-overload]  # the scheme decides which keys there are
            client_options=client,
            retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=budget)},
        )
    except (BaseError, ValueError, TypeError) as error:
        raise UsageError(f"storage {label} cannot be opened: {error}") from None
    object_store: stores.ObjectStore = store
    return object_store


def _plain(value: str) -> str | bool:
    return {"true": True, "false": False}.get(value.lower(), value)
