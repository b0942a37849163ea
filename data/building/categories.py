"""Categories of topics: what documents state, their folders, or communities of the graph.

The rule: the first of these that names two categories or more, and at least half of the topics: categories that
documents or records state; the topmost folders that differ; the documents, where sections are topics. Else communities
that are densely linked, up to eight, named after the topic with most links; on graphs of more than 20,000 topics
clusters of embeddings, named alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from kgrl.data.building.topics import Topics
from kgrl.errors import SettingError
from kgrl.graph.communities import find_communities
from kgrl.graph.topic_graph import IntArray, TopicGraph
from kgrl.retrieval.base import FloatArray

__all__ = ["categories_of", "folders_of"]

_COMMUNITIES = 8
_MOST_FOR_COMMUNITIES = 20_000
"""Topics of the largest graph that Louvain's method takes a minute for."""
_ROUNDS = 20
_SAMPLE = 50_000


def folders_of(keys: Sequence[str]) -> list[str]:
    """Return the topmost folder of each path in which they differ, `""` for a file above these.

    Example:
        >>> folders_of(["docs/math/set.md", "docs/logic/proof.md", "docs/index.md"])
        ['math', 'logic', '']
    """
    parents = [PurePosixPath(key).parent.parts for key in keys]
    depth = 0
    while parents and all(len(parts) > depth for parts in parents) and len({parts[depth] for parts in parents}) == 1:
        depth += 1
    return [parts[depth] if len(parts) > depth else "" for parts in parents]


def categories_of(
    topics: Topics,
    stated: Sequence[str],
    folders: Sequence[str],
    titles: Sequence[str],
    graph: TopicGraph,
    embeddings: FloatArray,
) -> tuple[list[str], str]:
    """Return the category of each topic, and the rule by which it was found.

    Args:
        topics: The topics.
        stated: The category that each document states.
        folders: The folder of each document.
        titles: The title of each document.
        graph: The topic graph.
        embeddings: Unit topic embeddings.
    """
    ways = [("stated by the documents", stated), ("folders", folders)]
    if topics.kind == "sections":
        ways.append(("documents", titles))
    for rule, names in ways:
        found = [names[document] for document in topics.documents.tolist()]
        if _serve(found):
            return found, rule
    if len(graph) > _MOST_FOR_COMMUNITIES:
        return _named(graph, _clusters(embeddings)), "clusters of embeddings"
    return _named(graph, _communities(graph)), "communities of the graph"


def _serve(names: Sequence[str]) -> bool:
    """Return whether names make categories of topics: two, for half of the topics, and of two topics on average."""
    counts = Counter(name for name in names if name)
    return len(counts) >= 2 and 2 * counts.total() >= len(names) and 2 * len(counts) <= len(names)


def _communities(graph: TopicGraph) -> IntArray:
    """Return the communities of a graph, as many as there are up to eight."""
    for n in range(min(_COMMUNITIES, len(graph)), 1, -1):
        try:
            return find_communities(graph, n)
        except SettingError:
            continue  # it falls into fewer
    return np.zeros(len(graph), dtype=np.int32)


def _clusters(embeddings: FloatArray) -> IntArray:
    """Return clusters of topics by k-means on cosines, the same for the same embeddings."""
    rng = np.random.default_rng(0)
    sample = embeddings[np.sort(rng.choice(len(embeddings), min(_SAMPLE, len(embeddings)), replace=False))]
    centres = sample[np.sort(rng.choice(len(sample), _COMMUNITIES, replace=False))].copy()
    for _ in range(_ROUNDS):
        nearest = (sample @ centres.T).argmax(axis=1)
        for cluster in np.unique(nearest):
            mean = sample[nearest == cluster].mean(axis=0)
            centres[cluster] = mean / max(float(np.linalg.norm(mean)), 1e-9)
    labels: IntArray = np.concatenate(
        [(embeddings[at : at + _SAMPLE] @ centres.T).argmax(axis=1) for at in range(0, len(embeddings), _SAMPLE)]
    ).astype(np.int32)
    return labels


def _named(graph: TopicGraph, labels: IntArray) -> list[str]:
    """Return for each topic the name of its group: the title of the member with most links."""
    names = {}
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        names[int(label)] = graph.titles[int(members[graph.degree[members].argmax()])]
    return [names[label] for label in labels.tolist()]
