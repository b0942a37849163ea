"""Clicks of traces, with the embeddings and link places that the curiosity policy reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kgrl.data.load import load_corpus, load_traces, traced_corpus
from kgrl.graph.topic_graph import TopicGraph
from kgrl.retrieval.corpus_index import embed_corpus
from kgrl.retrieval.encoder import DEFAULT_ENCODER, AnyEncoder, as_encoder
from kgrl.traces.source import TraceSource
from kgrl.traces.trace import ClickTable, buckets

__all__ = ["TracedClicks", "load_clicks"]


@dataclass(frozen=True)
class TracedClicks:
    """Clicks of a source, with the inputs of the policy for their topics.

    Args:
        source: The source; its tally counts skipped rows.
        graph: The topic graph, with the places of links if the corpus has them.
        embeddings: Unit topic embeddings, float32 `[topics, dimensions]`.
        clicks: The clicks.
        hidden: Topics that the inductive protocol hides, a tenth of them, bool `[topics]`.
    """

    source: TraceSource
    graph: TopicGraph
    embeddings: NDArray[np.float32]
    clicks: ClickTable
    hidden: NDArray[np.bool_]

    def __repr__(self) -> str:
        return f"TracedClicks({len(self.clicks):,} clicks of {self.source!r})"


def load_clicks(
    source: str, root: Path | None, corpus: str | None, encoder: AnyEncoder = DEFAULT_ENCODER
) -> TracedClicks:
    """Read the clicks of all traces of a source, and the corpus they are on.

    Args:
        source: As for `kgrl.data.load_traces`.
        root: Folder of the source files.
        corpus: The corpus; the one that the source names if None.
        encoder: Embeds its passages: an encoder, or the name or folder of one.

    Raises:
        KgrlError: If the source or its corpus cannot be read, or more than 5% of the traces cannot be used.
    """
    traces = load_traces(source, root=root, corpus=corpus)
    names = getattr(traces, "names", traces.graph.titles)  # of Wikispeedia, the raw names are hashed
    clicks = ClickTable.from_traces(traces, names)
    texts = load_corpus(corpus or traced_corpus(source), root=root if source == "wikispeedia" else None)
    # The source may number the topics in another order, and its graph lacks the places of links.
    order = np.array([texts.graph.index(title) for title in traces.graph.titles])
    embeddings = np.asarray(embed_corpus(texts, as_encoder(encoder))[1])[order]
    graph = traces.graph
    if texts.graph.places is not None:
        sources, targets = graph.links()
        at = texts.graph.positions(order[sources], order[targets])  # [links], -1 where the corpus lacks the link
        graph = graph.with_places(np.where(at >= 0, texts.graph.places[at], -1).astype(np.int32))
    return TracedClicks(traces, graph, embeddings, clicks, buckets(names) == 0)
