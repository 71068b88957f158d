"""Runs and models of MLflow, read from its folder `mlruns` or its SQLite database, and written into a project. Needs no MLflow."""
