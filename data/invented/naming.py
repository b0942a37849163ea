"""Invented corpora by name: the name says everything that there is to know of a world."""

from __future__ import annotations

import re
from functools import lru_cache

from kgrl.corpus import Corpus
from kgrl.data.invented.prose import write_corpus
from kgrl.data.invented.world import InventedWorld, invent
from kgrl.errors import SettingError

__all__ = ["DEFAULT_NAME", "is_invented", "load_invented", "world_of"]

DEFAULT_NAME = "invented:2000"
_NAME = re.compile(r"invented(?::(\d{1,7}))?(?::(\d{1,9}))?")


def is_invented(name: str) -> bool:
    """Return whether a name is meant to be that of an invented corpus."""
    return name.partition(":")[0] == "invented"


def load_invented(name: str = DEFAULT_NAME) -> Corpus:
    """Invent a corpus.

    Args:
        name: `invented:TOPICS` or `invented:TOPICS:SEED`; `invented` for 2,000 topics.

    Raises:
        SettingError: If the name is not of that form, or asks for fewer than 8 topics.

    Example:
        >>> load_invented("invented:100").split_counts.tolist()
        [600, 100, 100]
    """
    return write_corpus(world_of(name), _size_and_seed(name)[1])


def world_of(name: str) -> InventedWorld:
    """Return the world that an invented corpus tells of.

    Args:
        name: The corpus's name; `Corpus.name` is one.

    Raises:
        SettingError: If it is not the name of an invented corpus.

    Example:
        >>> world = world_of("invented:100")
        >>> len(world.topics), {fact.hops for fact in world.facts}
        (100, {1, 2})
    """
    return _world(*_size_and_seed(name))


@lru_cache(maxsize=4)
def _world(size: int, seed: int) -> InventedWorld:
    return invent(size, seed)


def _size_and_seed(name: str) -> tuple[int, int]:
    found = _NAME.fullmatch(name)
    if found is None:
        raise SettingError(f"{name!r} is no invented corpus; write invented:TOPICS or invented:TOPICS:SEED")
    return int(found[1] or DEFAULT_NAME.partition(":")[2]), int(found[2] or 0)
