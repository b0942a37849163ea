"""Invented corpora by name, and an invented world written out as passages.

A corpus's name determines its world. Every passage on a topic tells all of its facts, each time in other words. The
wordings of the probe and exam passages are known from the passages of other topics, so a loss on them measures
knowledge of the topic.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from kgrl.corpus import Corpus, Split, near_duplicates
from kgrl.data.invented.phrases import ANY_FACT, FACTS, OPENINGS
from kgrl.data.invented.world import Draws, Fact, InventedWorld, Topic, asked_wording, invent, sentence
from kgrl.data.processed import processed
from kgrl.data.text.mentions import tokenize
from kgrl.errors import SettingError
from kgrl.graph.topic_graph import IntArray, TopicGraph

__all__ = ["DEFAULT_NAME", "is_invented", "load_invented", "world_of", "write_corpus"]

DEFAULT_NAME = "invented:2000"
_NAME = re.compile(r"invented(?::(\d{1,7}))?(?::(\d{1,9}))?")
_SPLITS = (Split.TRAIN,) * 6 + (Split.PROBE, Split.EXAM)
"""Splits of the passages that every topic has."""

_invented = lru_cache(maxsize=4)(invent)


def is_invented(name: str) -> bool:
    """Return whether a name is meant as the name of an invented corpus; it may be malformed."""
    return name.partition(":")[0] == "invented"


def load_invented(name: str = DEFAULT_NAME) -> Corpus:
    """Generate the invented corpus of a name, or open it if this machine has generated it before.

    Args:
        name: `invented:TOPICS` or `invented:TOPICS:SEED`; `invented` for 2,000 topics.

    Raises:
        SettingError: If the name is not of that form, or asks for fewer than 8 topics.

    Example:
        >>> load_invented("invented:100").split_counts.tolist()
        [600, 100, 100]
    """
    size, seed = _size_and_seed(name)
    world = f"invented:{size}:{seed}"
    return processed(world, [world], lambda: write_corpus(world_of(world), seed))


def world_of(name: str) -> InventedWorld:
    """Return the world of an invented corpus.

    Args:
        name: The corpus's name, as for `load_invented` or from `Corpus.name`.

    Raises:
        SettingError: If it is not the name of an invented corpus.

    Example:
        >>> world = world_of("invented:100")
        >>> len(world.topics), {fact.hops for fact in world.facts}
        (100, {1, 2})
    """
    return _invented(*_size_and_seed(name))


def _size_and_seed(name: str) -> tuple[int, int]:
    found = _NAME.fullmatch(name)
    if found is None:
        raise SettingError(f"{name!r} is not an invented corpus; write invented:TOPICS or invented:TOPICS:SEED")
    return int(found[1] or DEFAULT_NAME.partition(":")[2]), int(found[2] or 0)


def write_corpus(world: InventedWorld, seed: int) -> Corpus:
    """Write a world out as a corpus, with a link for each fact from its subject to its object.

    Args:
        world: The world.
        seed: Seeds the choice of wordings.

    Example:
        >>> from kgrl.data.invented.world import invent
        >>> write_corpus(invent(8), seed=0).split_counts.tolist()
        [48, 8, 8]
    """
    draws = Draws(seed)
    texts = [text for topic in range(len(world.topics)) for text in _passages(world, topic, draws)]
    splits = np.tile(np.array(_SPLITS, dtype=np.uint8), len(world.topics))
    topics = np.repeat(np.arange(len(world.topics)), len(_SPLITS))
    keep = np.flatnonzero(~near_duplicates(texts, splits))
    texts = [texts[i] for i in keep]
    graph = TopicGraph.from_links(
        [topic.title for topic in world.topics],
        [fact.subject for fact in world.stated],
        [fact.object for fact in world.stated],
        [topic.category for topic in world.topics],
    )
    firsts = np.searchsorted(topics[keep], np.arange(len(graph)))  # each topic's first passage, which is for training
    places = _places(graph, [texts[i] for i in firsts])
    return Corpus(world.name, graph.with_places(places), texts, topics[keep], splits[keep])


def _passages(world: InventedWorld, number: int, draws: Draws) -> Iterator[str]:
    """Yield a topic's passages in the order of `_SPLITS`. No wording is used in two of them."""
    topic, facts = world.topics[number], world.facts_of[number]
    openings = draws.some(OPENINGS[topic.category], len(_SPLITS))
    told = []
    for fact in facts:
        asked = asked_wording(fact)  # reserved for questions
        told.append(draws.some([w for w in FACTS[fact.relation] + ANY_FACT if w != asked], len(_SPLITS)))
    for place, opening in enumerate(openings):
        sentences = [_opening(topic, opening)]
        # Facts come in another order in each passage.
        for fact, wordings in draws.some(list(zip(facts, told, strict=True)), len(facts)):
            sentences.append(_told(world, fact, wordings[place], draws))
        yield " ".join(sentences)


def _opening(topic: Topic, wording: str) -> str:
    """Return the first sentence of a passage, which introduces the topic."""
    kind = topic.kind.lower()
    article = "an" if kind[0] in "aeiou" else "a"
    return sentence(wording, s=topic.written, kind=kind, a_kind=f"{article} {kind}", trait=topic.trait, year=topic.year)


def _told(world: InventedWorld, fact: Fact, wording: str, draws: Draws) -> str:
    """Return a sentence that tells a fact. Its subject is the title, a short form, or a pronoun."""
    topic = world.topics[fact.subject]
    short = topic.title.rsplit(" ", 1)[-1] if topic.category == "People" else f"the {topic.kind.lower()}"
    subject = draws.pick((topic.written, short, topic.pronoun))
    return sentence(wording, s=subject, n=topic.written, o=world.topics[fact.object].written, r=fact.relation)


def _places(graph: TopicGraph, firsts: list[str]) -> IntArray:
    """Return the number of words before each link's first mention; see `TopicGraph`.

    Args:
        graph: The topic graph.
        firsts: Each topic's first passage. It names all topics that its topic links to.
    """
    sources, targets = graph.links()
    named = [(firsts[source], graph.titles[target]) for source, target in zip(sources, targets, strict=True)]
    return np.array([len(tokenize(text[: text.index(title)])) for text, title in named], dtype=np.int32)
