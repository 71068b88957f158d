"""What `[[monitor]]` says besides the options of the plugin. The kernel knows the keys (`mlopsfw.kernel.roles.names`)."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import msgspec

from mlopsfw.kernel.base.ids import check_name
from mlopsfw.kernel.config.options import check_options
from mlopsfw.lineage.references import parse_reference


class AlarmRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which changed columns of a window are an alarm.

    Args:
        alarm: `any` changed column, a `share` of the columns, or changed columns with a share of the `importance`.
        share: That share of the columns, or of the importance.
    """

    alarm: Literal["any", "share", "importance"] = "any"
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5


class MonitorSettings(AlarmRule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `[[monitor]]` says besides the provider's options.

    Args:
        models, endpoints: The only models and endpoints that it examines; all where none is named.
        reference: The dataset to compare with instead of the training data, such as `data:/orders@3`.
    """

    models: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    reference: str = ""

    def __post_init__(self) -> None:
        model, endpoint = partial(check_name, what="model"), partial(check_name, what="endpoint")
        check_options(self, models=model, endpoints=endpoint, reference=partial(parse_reference, scheme="data"))

    def concern(self, model: str, endpoint: str) -> bool:
        """Return whether the monitor examines this model at this endpoint."""
        return (not self.models or model in self.models) and (not self.endpoints or endpoint in self.endpoints)
