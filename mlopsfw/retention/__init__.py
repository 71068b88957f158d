"""Which versions of datasets are kept: what needs them, and how the others go."""
