"""Serving: endpoints, captured predictions, labels."""
