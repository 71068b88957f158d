"""Plugins: which there are (`catalog`), which one a name selects (`manager`), and who is to blame (`blame`)."""
