"""Monitoring: cut captured predictions into windows, have every monitor examine them, keep the reports, raise and resolve alerts."""
