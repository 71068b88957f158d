"""`Privacy`: what a project's configuration says of personal data, with its key."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from mlopsfw.privacy.treatments import Mark, Treatment, strictest

if TYPE_CHECKING:
    from mlopsfw.kernel.config.model import DataConfig, PrivacyConfig
    from mlopsfw.kernel.roles.host import Secrets
    from mlopsfw.privacy.requests import Requests


class Privacy:
    """The marked columns of a project.

    Args:
        data: `[data.NAME]` by the dataset's name: which columns are marked.
        config: `[privacy]`.
        secrets: Resolves the key.
    """

    def __init__(self, data: Mapping[str, DataConfig], config: PrivacyConfig, secrets: Secrets) -> None:
        self._data, self._config, self._secrets = data, config, secrets

    @cached_property
    def key(self) -> bytes:
        """The key of keyed hashes; empty where none is named."""
        reference = self._config.key
        if not reference:
            return b""
        from mlopsfw.kernel.store.vault import parse_key

        return parse_key(self._secrets.resolve(reference), reference)

    def marks(self, dataset: str) -> dict[str, Mark]:
        """Return the marked columns of a dataset."""
        config = self._data.get(dataset)
        return dict(config.pii) if config else {}

    @property
    def everywhere(self) -> dict[str, Mark]:
        """The columns that any dataset marks, each with its strictest mark: what is captured may be of any of them."""
        return strictest(each.pii for each in self._data.values())

    def requests(self, learned: Mapping[str, Mark]) -> Requests:
        """Return how an endpoint treats requests whose model learned from data treated so."""
        from mlopsfw.privacy.requests import Requests

        return Requests(self.treatment(learned), self.treatment(self.everywhere))

    def treatment(self, marks: Mapping[str, Mark]) -> Treatment:
        """Return the treatment that gives columns their marks. Raise `ConfigError` where it needs a key and there is none."""
        return Treatment(marks, self.key if "hash" in marks.values() else b"")
