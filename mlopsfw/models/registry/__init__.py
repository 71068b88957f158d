"""The registry: numbered versions of models, aliases that point at them, who approved what. Kept as events, one stream per model.

`versions` folds a model's events; `catalog` is the facade that `Project.registry` is; `card` writes a version out for people.
Bundles themselves are blobs (`mlopsfw.models.bundle`); serving one is `mlopsfw.serving.endpoints`'.
"""

from __future__ import annotations

from mlopsfw.models.registry.catalog import Registry
from mlopsfw.models.registry.versions import AliasMove, Approval, Model, ModelVersion

__all__ = ["AliasMove", "Approval", "Model", "ModelVersion", "Registry"]
