"""Profiles of columns: counts, moments, quantiles, distinct and frequent values in one pass, mergeable, and at most 4 KB each.

`profile(table)` and `profile_column(column)` make them, `merge` joins those of parts, `to_bytes` keeps them.
docs/core-profile.md says what each field is, within which error, and how the bytes are laid out.
"""

from __future__ import annotations

from .codec import ProfileError
from .column import ColumnProfile
from .compare import ks_bounds, psi
from .frequent import Item
from .table import TableProfile, profile, profile_column

__all__ = ["ColumnProfile", "Item", "ProfileError", "TableProfile", "ks_bounds", "profile", "profile_column", "psi"]
