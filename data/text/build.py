"""Build of a corpus from documents: cut, split, drop near-duplicates, place links."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from kgrl.corpus import Corpus, cut, near_duplicates, split_passages
from kgrl.data.text.linking import find_places
from kgrl.graph.topic_graph import TopicGraph

__all__ = ["build_corpus", "with_links", "with_places"]

_log = logging.getLogger(__name__)


def build_corpus(
    name: str,
    titles: Sequence[str],
    categories: Sequence[str],
    documents: Sequence[str],
    sources: ArrayLike = (),
    targets: ArrayLike = (),
    language: str = "en",
) -> Corpus:
    """Cut documents into passages, split them into train, probe and exam, and drop near-duplicates across splits.

    Args:
        name: The corpus's name.
        titles: One title for each topic.
        categories: One category for each topic, `""` for none.
        documents: One text for each topic, `""` for none.
        sources: The topic that each link starts from, shape `[links]`.
        targets: The topic that each link leads to, shape `[links]`.
        language: The code of the documents' language, as `cut` takes it.

    Example:
        >>> text = "Logic is the study of reasoning. It is old. It asks what follows from what."
        >>> build_corpus("tiny", ["Logic"], ["Philosophy"], [text]).split_counts.tolist()
        [1, 1, 1]
    """
    passages = [cut(document, language=language) for document in documents]
    texts = [text for topic in passages for text in topic]
    topics = np.repeat(np.arange(len(titles), dtype=np.int32), [len(topic) for topic in passages])
    drawn = [split_passages(title, topic) for title, topic in zip(titles, passages, strict=True)]
    splits = np.concatenate([np.empty(0, dtype=np.uint8), *drawn])  # there may be no topics
    keep = np.flatnonzero(~near_duplicates(texts, splits))
    _log.info("%s: %d passages, %d near-duplicates dropped", name, len(texts), len(texts) - len(keep))
    graph = TopicGraph.from_links(titles, sources, targets, categories)
    return Corpus(name, graph, [texts[i] for i in keep], topics[keep], splits[keep])


def with_links(corpus: Corpus, sources: ArrayLike, targets: ArrayLike) -> Corpus:
    """Return the corpus with these links instead of its own."""
    graph = TopicGraph.from_links(corpus.graph.titles, sources, targets, corpus.graph.categories)
    return Corpus(corpus.name, graph, corpus.texts, corpus.topics, corpus.splits, corpus.questions)


def with_places(corpus: Corpus) -> Corpus:
    """Return the corpus with the places of its links."""
    graph = corpus.graph.with_places(find_places(corpus))
    return Corpus(corpus.name, graph, corpus.texts, corpus.topics, corpus.splits, corpus.questions)
