"""Values that steps exchange: stored by content, passed by reference."""
