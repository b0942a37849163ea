"""Build of a corpus from documents: cut, split, drop near-duplicates, and cache the processed form."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from kgrl.corpus import Corpus, cut, near_duplicates, split_passages
from kgrl.data.folder import load_folder, save_folder
from kgrl.data.text.linking import find_places
from kgrl.graph.topic_graph import TopicGraph
from kgrl.system.cache import cached
from kgrl.system.files import cache_dir, content_key

__all__ = ["build_corpus", "processed", "with_links"]

_VERSION = "7"
"""Part of the key of every cached corpus; raise it when cutting, cleaning or linking changes."""

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
    return Corpus(corpus.name, graph, corpus.texts, corpus.topics, corpus.splits)


def with_places(corpus: Corpus) -> Corpus:
    """Return the corpus with the places of its links."""
    return Corpus(
        corpus.name, corpus.graph.with_places(find_places(corpus)), corpus.texts, corpus.topics, corpus.splits
    )


def processed(name: str, content: Sequence[str], build: Callable[[], Corpus]) -> Corpus:
    """Return a corpus from the cache, or build it and put it there.

    Args:
        name: The corpus's name.
        content: Digests of the source files, and parameters; they are the key of the cache entry.
        build: Builds the corpus.
    """
    entry = cache_dir() / "corpora" / f"{name}-{content_key(_VERSION, *content)}"

    def make() -> None:
        """Build the corpus and write it to the entry."""
        start = time.perf_counter()
        save_folder(with_places(build()), entry)
        _log.info("%s: processed in %.0f s, kept in %s", name, time.perf_counter() - start, entry)

    cached(entry, make=make)
    return load_folder(entry, name=name)
