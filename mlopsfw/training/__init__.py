"""Training: the computations of the train and evaluate steps outside the trainers."""
