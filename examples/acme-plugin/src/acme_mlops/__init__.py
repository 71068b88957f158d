"""Acme's plugins for mlopsfw. Their roles' protocols in `mlopsfw.roles` say what each method promises."""

import msgspec


class NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table of a plugin without options."""
