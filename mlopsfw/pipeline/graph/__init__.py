"""What a pipeline is: steps, wired by named inputs, checked before anything runs."""
