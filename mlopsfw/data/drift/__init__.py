"""The drift job: compare two files of rows column by column, in memory or streamed. Needs no project.

`mlopsfw_core` computes the statistics and decides; this package reads the files.

"""
