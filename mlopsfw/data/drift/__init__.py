"""The drift job: two files of rows, compared column by column, in memory or streamed. Needs no project.

The statistics and the decision are `mlopsfw_core`'s; here files are read, and what was found is drawn.
"""
