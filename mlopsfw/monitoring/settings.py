"""What `[[monitor]]` says besides the options of the plugin. The kernel knows the keys (`mlopsfw.kernel.roles.names`)."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import msgspec

from mlopsfw.kernel.base.errors import ConfigError
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
        explain: How many predictions of a window are explained, to compare what inputs contribute with the same in the `reference`; 0 for
            none. The reference holds rows as the model gets them.
    """

    models: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    reference: str = ""
    explain: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 0

    def __post_init__(self) -> None:
        model, endpoint = partial(check_name, what="model"), partial(check_name, what="endpoint")
        check_options(self, models=model, endpoints=endpoint, reference=partial(parse_reference, scheme="data"))
        if self.explain and not self.reference:
            raise ConfigError(
                "explain compares reasons with those of other rows, and no `reference` names them",
                key="explain",
                hint='Such as reference = "data:/orders@3", with rows as the model gets them.',
            )

    def concern(self, model: str, endpoint: str) -> bool:
        """Return whether the monitor examines this model at this endpoint."""
        return (not self.models or model in self.models) and (not self.endpoints or endpoint in self.endpoints)
