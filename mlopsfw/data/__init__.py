"""Data: tables, intake, contracts, versioned datasets and sets of files."""
