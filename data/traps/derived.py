"""Corpora that are made from others by laying traps, by name: `noisy:vital`, `deceptive:wikispeedia`."""

from __future__ import annotations

from collections.abc import Callable

from kgrl.corpus import Corpus
from kgrl.data.traps.deception import Deceived, deceive
from kgrl.data.traps.planted import Planted, plant
from kgrl.data.wikimedia.vital import find_leads, read_leads
from kgrl.errors import SettingError

__all__ = ["DERIVED", "GOALS", "deceptive", "goal_of", "noisy"]

GOALS = {"vital": "Mathematics", "wikispeedia": "Religion"}
"""The goal on the corpora that benchmarks use."""

_SEED = 6
_FOREIGN = "fr"


def noisy(corpus: Corpus) -> Planted:
    """Plant noise: three topics in ten teach nothing of use."""
    return plant(corpus, read_leads(find_leads(_FOREIGN)).texts, seed=_SEED)


def deceptive(corpus: Corpus) -> Deceived:
    """Put a cluster of easy gains beside the way to the corpus's goal."""
    return deceive(corpus, goal_of(corpus), seed=_SEED)


def goal_of(corpus: Corpus) -> str:
    """Return the category that benchmarks take as the goal: a fixed one, or the smallest of an unknown corpus.

    Raises:
        SettingError: If the corpus has no categories.
    """
    if corpus.name in GOALS:
        return GOALS[corpus.name]
    named = [name for name in corpus.graph.category_names if name]
    if not named:
        raise SettingError(f"{corpus.name!r} has no categories, and this task needs one as a goal")
    return min(named, key=lambda name: len(corpus.graph.in_category(name)))


DERIVED: dict[str, Callable[[Corpus], Planted | Deceived]] = {"noisy": noisy, "deceptive": deceptive}
"""What comes before the colon of such a name."""
