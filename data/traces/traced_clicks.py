"""Traces as clicks, with what the curiosity policy reads of their topics: embeddings of text, places of links."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kgrl.data.load import load_corpus, load_traces, traced_corpus
from kgrl.graph.topic_graph import TopicGraph
from kgrl.retrieval.corpus_index import embed_corpus
from kgrl.retrieval.encoder import Encoder
from kgrl.traces.source import TraceSource
from kgrl.traces.trace import ClickTable, buckets

__all__ = ["TracedClicks", "load_clicks"]


@dataclass(frozen=True)
class TracedClicks:
    """Clicks of a source, and what the policy reads of their topics.

    Args:
        source: The source; its tally says what was skipped.
        graph: The topic graph, with the places of links where the corpus has them.
        embeddings: Unit topic embeddings, float32 `[topics, dimensions]`.
        clicks: The clicks.
        hidden: Topics that the inductive protocol hides, bool `[topics]`.
    """

    source: TraceSource
    graph: TopicGraph
    embeddings: NDArray[np.float32]
    clicks: ClickTable
    hidden: NDArray[np.bool_]


def load_clicks(source: str, root: Path | None, corpus: str | None) -> TracedClicks:
    """Read all traces of a source, and the corpus they are on.

    Args:
        source: As for `kgrl.data.load_traces`.
        root: Folder of the source files.
        corpus: The corpus; by default the one the source names.

    Raises:
        KgrlError: If the source or its corpus cannot be read, or more than 5% of the traces cannot be used.
    """
    traces = load_traces(source, root=root, corpus=corpus)
    names = getattr(traces, "names", traces.graph.titles)  # Wikispeedia's are hashed as its files write them
    clicks = ClickTable.from_traces(traces, names)
    texts = load_corpus(corpus or traced_corpus(source), root=root if source == "wikispeedia" else None)
    # The source may number the same topics otherwise, and lacks the places of links.
    order = np.array([texts.graph.index(title) for title in traces.graph.titles])
    embeddings = np.asarray(embed_corpus(texts, Encoder())[1])[order]
    graph = traces.graph
    if texts.graph.places is not None:
        sources, targets = graph.links()
        at = texts.graph.positions(order[sources], order[targets])
        graph = graph.with_places(np.where(at >= 0, texts.graph.places[at], -1).astype(np.int32))
    return TracedClicks(traces, graph, embeddings, clicks, buckets(names) == 0)
