"""The built-in steps. Each module's `step` makes one of the parts of the project that it names; `mlopsfw.project.steps` knows them all."""
