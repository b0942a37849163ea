"""Where links stand in the text: readers click early links more than late ones.

A link's place is where the text of its source first mentions its target. Exam passages are not read, since agents see
these places.
"""

from __future__ import annotations

import numpy as np

from kgrl.corpus import Corpus, Split
from kgrl.data.text.mentions import MentionFinder, tokenize
from kgrl.graph.topic_graph import IntArray

__all__ = ["find_places"]


def find_places(corpus: Corpus) -> IntArray:
    """Find the links of a corpus's graph in the texts of their sources.

    Returns:
        Words of the source's text before the first mention, -1 for a link that is not mentioned, int32 `[links]`.

    Example:
        >>> from kgrl.graph import TopicGraph
        >>> graph = TopicGraph.from_links(["Logic", "Set", "Number"], [0, 0], [1, 2])
        >>> find_places(Corpus("tiny", graph, ["Logic needs numbers and sets; a set is …"], [0], [0])).tolist()
        [4, 2]
    """
    places = np.full(corpus.graph.n_links, -1, dtype=np.int32)
    finder = MentionFinder(corpus.graph.titles)
    passages = np.searchsorted(corpus.topics, np.arange(len(corpus.graph) + 1))
    for topic in range(len(corpus.graph)):
        found = _first_mentions(corpus, topic, range(passages[topic], passages[topic + 1]), finder)
        first = int(corpus.graph.indptr[topic])
        for at, target in enumerate(corpus.graph.out(topic).tolist(), first):
            places[at] = found.get(target, -1)
    return places


def _first_mentions(corpus: Corpus, topic: int, passages: range, finder: MentionFinder) -> dict[int, int]:
    """The words before the first mention of each of a topic's targets that its text mentions."""
    targets = set(corpus.graph.out(topic).tolist())
    found: dict[int, int] = {}
    words = 0
    for passage in passages:
        text = corpus.texts[passage]
        tokens = tokenize(text)
        for mention in () if corpus.splits[passage] == Split.EXAM else finder.find(tokens, text):
            target = next((number for number, _ in mention.targets if number in targets), None)
            if target is not None:
                found.setdefault(target, words + mention.first)
        words += len(tokens)
    return found
