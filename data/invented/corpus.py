"""An invented world written out as passages.

Every passage on a topic tells all of its facts, each time in other words. The wordings of the probe and the exam
passage are known from other topics, so that a loss on them tells what is known of the topic.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from kgrl.corpus import Corpus, Split, near_duplicates
from kgrl.data.invented.phrases import ANY_FACT, FACTS, OPENINGS
from kgrl.data.invented.world import Draws, Fact, InventedWorld, Topic, asked_wording, invent, sentence
from kgrl.data.text.mentions import tokenize
from kgrl.errors import SettingError
from kgrl.graph.topic_graph import IntArray, TopicGraph

__all__ = ["DEFAULT_NAME", "is_invented", "load_invented", "world_of", "write_corpus"]

DEFAULT_NAME = "invented:2000"
_NAME = re.compile(r"invented(?::(\d{1,7}))?(?::(\d{1,9}))?")

_SPLITS = (Split.TRAIN,) * 6 + (Split.PROBE, Split.EXAM)
"""The passages that every topic has."""


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


def write_corpus(world: InventedWorld, seed: int) -> Corpus:
    """Write a world out as a corpus, linked where a passage names another topic.

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
    graph = _graph(world)
    places = _places(graph, [texts[i] for i in np.searchsorted(topics[keep], np.arange(len(graph)))])
    return Corpus(world.name, graph.with_places(places), texts, topics[keep], splits[keep])


def _graph(world: InventedWorld) -> TopicGraph:
    """The topics, and a link for each fact."""
    titles, categories = [t.title for t in world.topics], [t.category for t in world.topics]
    sources, targets = [f.subject for f in world.stated], [f.object for f in world.stated]
    return TopicGraph.from_links(titles, sources, targets, categories)


def _passages(world: InventedWorld, number: int, draws: Draws) -> Iterator[str]:
    """A topic's passages in the order of `_SPLITS`; no two of them say anything in the same words."""
    topic, facts = world.topics[number], world.facts_of[number]
    openings = draws.some(OPENINGS[topic.category], len(_SPLITS))
    told = [draws.some(_wordings(fact), len(_SPLITS)) for fact in facts]
    for place, opening in enumerate(openings):
        sentences = [_opening(topic, opening)]
        for fact, wordings in draws.some(list(zip(facts, told, strict=True)), len(facts)):
            sentences.append(_told(world, fact, wordings[place], draws))
        yield " ".join(sentences)


def _wordings(fact: Fact) -> list[str]:
    return [wording for wording in FACTS[fact.relation] + ANY_FACT if wording != asked_wording(fact)]


def _opening(topic: Topic, wording: str) -> str:
    """The sentence that says who or what a passage is about."""
    kind = topic.kind.lower()
    article = "an" if kind[0] in "aeiou" else "a"
    return sentence(wording, s=topic.written, kind=kind, a_kind=f"{article} {kind}", trait=topic.trait, year=topic.year)


def _told(world: InventedWorld, fact: Fact, wording: str, draws: Draws) -> str:
    """The sentence that tells a fact."""
    topic = world.topics[fact.subject]
    subject = draws.pick((topic.written, _short(topic), topic.pronoun))
    return sentence(wording, s=subject, n=topic.written, o=world.topics[fact.object].written, r=fact.relation)


def _short(topic: Topic) -> str:
    """What a topic is called once it was named: a family name, or the kind of thing it is."""
    return topic.title.rsplit(" ", 1)[-1] if topic.category == "People" else f"the {topic.kind.lower()}"


def _places(graph: TopicGraph, firsts: list[str]) -> IntArray:
    """Words before each link's first mention; see `TopicGraph`. Every passage names all that its topic is linked to.

    Args:
        graph: The topic graph.
        firsts: Each topic's first passage, which is one for training.
    """
    sources, targets = graph.links()
    named = [(firsts[source], graph.titles[target]) for source, target in zip(sources, targets, strict=True)]
    return np.array([len(tokenize(text[: text.index(title)])) for text, title in named], dtype=np.int32)
