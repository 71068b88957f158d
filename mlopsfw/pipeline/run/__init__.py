"""Running a pipeline: coordinator, sessions, the run's own stream, what a person sees."""
