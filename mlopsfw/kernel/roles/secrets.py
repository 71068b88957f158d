"""`SecretStore`: where the secrets lie that a configuration refers to, such as `vault:secret/data/db#password`."""

from __future__ import annotations

from typing import Protocol


class SecretStore(Protocol):
    """Reads secrets by name. It keeps none: each call reads anew, so that secrets can be rotated.

    mlopsfw keeps no value and shows none. It refuses an answer that is no text, that is empty or only white space, or
    that has more than 64 KiB, and gives up a call after `timeout` seconds of the store's table (30 without it).

    A store's own secrets, such as its token, are references too (`host.secrets.resolve`), to `env:` or `file:` alone.
    Its `build` gets a `StorageHost`: the storage may need it, and is not there yet.
    """

    def read(self, target: str) -> str:
        """Return the secret that `target` names.

        Args:
            target: What follows the scheme in a reference: `secret/data/db#password` of
                `vault:secret/data/db#password`. It is no secret, and errors name it.

        Raises:
            ConfigError: There is no such secret, the target cannot be read, or the store refuses it.
            SecretUnavailable: The store cannot be reached, or does not answer now.
        """
