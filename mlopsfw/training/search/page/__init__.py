"""The page of a search: how it went, what counted, and what was stopped early."""

from mlopsfw.training.search.page.page import Search, search_page

__all__ = ["Search", "search_page"]
