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

from kgrl.data.building.clusters import cluster_centres, nearest_centres
from kgrl.data.building.topics import Topics
from kgrl.errors import SettingError
from kgrl.graph.communities import find_communities
from kgrl.graph.topic_graph import IntArray, TopicGraph
from kgrl.retrieval.base import FloatArray

__all__ = ["categories_of", "folders_of", "parent_folder"]

_COMMUNITIES = 8
_MOST_FOR_COMMUNITIES = 20_000
"""Topics of the largest graph that Louvain's method takes a minute for."""


def parent_folder(key: str) -> str:
    """Return the folder of a document's key."""
    return str(PurePosixPath(key).parent)


def folders_of(folders: Sequence[str]) -> list[str]:
    """Return the topmost folder in which some differ, for each of them; `""` for one above these.

    Args:
        folders: The folder of each document, as `parent_folder` returns it.

    Example:
        >>> folders_of(["docs/math", "docs/logic/new", "docs"])
        ['math', 'logic', '']
    """
    parents = {folder: PurePosixPath(folder).parts for folder in folders}
    parts = list(parents.values())
    depth = 0
    while parts and all(len(each) > depth for each in parts) and len({each[depth] for each in parts}) == 1:
        depth += 1
    names = {folder: each[depth] if len(each) > depth else "" for folder, each in parents.items()}
    return [names[folder] for folder in folders]


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
        titles: The title of each document, `""` for one that has none.
        graph: The topic graph.
        embeddings: Unit topic embeddings.
    """
    ways = [("stated by the documents", stated), ("folders", folders)]
    if topics.kind == "sections":
        ways.append(("documents", [title or f"document {number + 1}" for number, title in enumerate(titles)]))
    for rule, names in ways:
        found = [names[document] for document in topics.documents.tolist()]
        if _serve(found):
            return found, rule
    if len(graph) > _MOST_FOR_COMMUNITIES:
        return _named(
            graph, nearest_centres(embeddings, cluster_centres(embeddings, _COMMUNITIES))
        ), "clusters of embeddings"
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


def _named(graph: TopicGraph, labels: IntArray) -> list[str]:
    """Return for each topic the name of its group: the title of the member with most links."""
    names = {}
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        names[int(label)] = graph.titles[int(members[graph.degree[members].argmax()])]
    return [names[label] for label in labels.tolist()]
