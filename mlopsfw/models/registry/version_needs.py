"""Which versions of a dataset registered models need: those that they were made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from mlopsfw.data.datasets.needs import numbers_of

if TYPE_CHECKING:
    from mlopsfw.data.datasets.versions import History
    from mlopsfw.models.registry.catalog import Registry


class ModelNeeds:
    """The needs of registered models.

    Args:
        registry: The models.
        origins: Returns for each of some exact references what it was made from, and that from, and so on.
    """

    def __init__(self, registry: Registry, origins: Callable[[Iterable[str]], Mapping[str, set[str]]]) -> None:
        self._registry, self._origins = registry, origins

    def of(self, history: History) -> Iterator[tuple[int, str]]:
        """Yield the versions from which a model was made."""
        models = {version.ref: version for model in self._registry.models() for version in model.versions}
        for ref, made_from in self._origins(models).items():
            aliases = f" ({', '.join(models[ref].aliases)})" if models[ref].aliases else ""
            for version in numbers_of(history.name, made_from):
                yield version, f"{ref}{aliases} was made from it"
