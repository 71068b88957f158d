"""The page of a list of runs."""

from mlopsfw.pipeline.run.runs_page.page import runs_page

__all__ = ["runs_page"]
