"""`python -m mlopsfw`, where the script is not on the path."""

from mlopsfw.cli import main

main()
