"""Running a pipeline: the coordinator, sessions, the run's own stream, and the terminal's output."""
