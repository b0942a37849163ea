"""Sentences that name a linked topic, and other titles that could stand in the name's place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kgrl.corpus import Corpus, Split
from kgrl.graph.topic_graph import TopicGraph
from kgrl.system.sentences import sentences_of

__all__ = ["N_WRONG", "LinkMention", "OtherTitles", "mentions_of"]

N_WRONG = 15
"""Wrong statements of a question; guessing is right in 1 of 16."""
_QUALIFIER = re.compile(r"\s*\([^()]*\)$")


@dataclass(frozen=True)
class LinkMention:
    """A sentence that names a linked topic, led by the title of its passage's topic, and the name's place in it.

    Args:
        topic: The topic of the passage.
        sentence: The sentence with the title before it, since half of the sentences of an article do not name their
            subject.
        named: The linked topic.
        start: Place of the name's first letter in the sentence.
        end: Place after its last letter.

    Example:
        >>> mention = LinkMention(0, "Logic: Its heart is the set.", 1, 24, 27)
        >>> mention.with_name("Number")
        'Logic: Its heart is the number.'
    """

    topic: int
    sentence: str
    named: int
    start: int
    end: int

    def with_name(self, name: str) -> str:
        """Return the sentence with another name, which gets a small first letter if the replaced one has it."""
        if self.sentence[self.start].islower():
            name = name[0].lower() + name[1:]
        return f"{self.sentence[: self.start]}{name}{self.sentence[self.end :]}"


class OtherTitles:
    """Draws titles that could stand in a linked topic's place.

    Args:
        graph: The topic graph.
        topics: Topics whose titles are drawn; one that is there more often is drawn more often.
    """

    def __init__(self, graph: TopicGraph, topics: Sequence[int]) -> None:
        self._graph = graph
        self._all = np.array(topics, dtype=np.int64)
        by_category: dict[str, list[int]] = {}
        for topic in topics:
            by_category.setdefault(graph.categories[topic], []).append(topic)
        self._alike = {category: np.array(alike) for category, alike in by_category.items()}

    def others(self, mention: LinkMention, rng: np.random.Generator) -> list[str]:
        """Return up to 15 titles of topics not linked with a mention's topic, of the named one's category if possible.

        Titles are without their qualifiers.
        """
        titles = self._graph.titles
        excluded = [mention.topic, mention.named, *self._graph.neighbours(mention.topic).tolist()]
        alike = self._alike.get(self._graph.categories[mention.named], self._all[:0])
        alike = alike[~np.isin(alike, excluded)]
        pool = alike if len(np.unique(alike)) >= N_WRONG else self._all[~np.isin(self._all, excluded)]
        # Two titles can be equal without their qualifiers, which would make two equal statements. Twice as many are
        # drawn, so that 15 different ones remain.
        topics = list(dict.fromkeys(rng.permutation(pool).tolist()))[: 2 * N_WRONG]
        drawn = dict.fromkeys(_bare(titles[other]) for other in topics)
        return [name for name in drawn if name != _bare(titles[mention.named])][:N_WRONG]


def mentions_of(corpus: Corpus, topic: int, split: Split) -> Iterator[LinkMention]:
    """Yield the mentions of linked topics in the sentences of a topic's first passage of a split, long titles first."""
    titles = {int(t): _bare(corpus.graph.titles[t]) for t in corpus.graph.out(topic)}
    lead = f"{corpus.graph.titles[topic]}: "
    for sentence in sentences_of(corpus.of(topic, split).texts[0]):
        taken: list[tuple[int, int]] = []
        for named, title in sorted(titles.items(), key=lambda item: -len(item[1])):
            span = _find(title, sentence)
            if span and not any(start < span[1] and span[0] < end for start, end in taken):
                taken.append(span)
                yield LinkMention(topic, f"{lead}{sentence}", named, len(lead) + span[0], len(lead) + span[1])


def _find(title: str, sentence: str) -> tuple[int, int] | None:
    """Start and end of a title in a sentence, as it is or with a small first letter; None if it is not there."""
    if title[1:] not in sentence:  # quick, and enough for most titles
        return None
    first = f"[{re.escape(title[0])}{re.escape(title[0].lower())}]"
    found = re.search(rf"(?<!\w){first}{re.escape(title[1:])}(?!\w)", sentence)
    return found.span() if found else None


def _bare(title: str) -> str:
    """A title without its qualifier: `Mercury` of `Mercury (planet)`."""
    return _QUALIFIER.sub("", title) or title
