"""Research: find the neighbourhood of a topic and the passages that are relevant to it."""

from kgrl.research.arrival import Arrival
from kgrl.research.library import Library
from kgrl.research.page import Page, PageSource
from kgrl.research.researcher import Researcher

__all__ = ["Arrival", "Library", "Page", "PageSource", "Researcher"]
