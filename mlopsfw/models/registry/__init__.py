"""The registry: numbered versions of models, aliases that point at them, and approvals. Stored as events, one stream per model.

`versions` folds a model's events; `catalog` is the facade `Project.registry`; `card` writes a version as Markdown.
Bundles are blobs (`mlopsfw.models.bundle`); `mlopsfw.serving.endpoints` serves them.

"""

from __future__ import annotations

from mlopsfw.models.registry.catalog import Registry
from mlopsfw.models.registry.versions import AliasMove, Approval, Model, ModelVersion

__all__ = ["AliasMove", "Approval", "Model", "ModelVersion", "Registry"]
