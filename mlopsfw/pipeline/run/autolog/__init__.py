"""Autologging: what torch and scikit-learn do inside of a run is logged, without a line in the loop. See `switch`."""
