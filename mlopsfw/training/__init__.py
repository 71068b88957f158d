"""Training: what the train and evaluate steps compute beside a trainer."""
