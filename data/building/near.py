"""Search for the topics that are most similar to each topic, in memory that does not grow with their number.

Up to 50,000 topics are all compared with each other. More are put into pieces of about the square root of their number
by k-means, and the topics of a piece are compared with those of the eight pieces whose means are nearest. Embeddings
then lie in a file in the order of pieces, and one piece with its neighbours is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kgrl.data.building.clusters import cluster_centres, nearest_centres
from kgrl.retrieval.base import FloatArray
from kgrl.retrieval.faiss_retriever import MOST_FLAT, FaissRetriever

__all__ = ["Found", "NearTopics"]

Found = tuple[NDArray[np.int32], NDArray[np.int32], FloatArray]
"""Topics `[queries]`; the topics nearest to each, best first, -1 for none, and their cosines, both `[queries, k]`."""
_BATCH = 4096
_COMPARED = 8
"""Pieces whose topics a topic is compared with, its own among them."""


class NearTopics:
    """Topics by similarity.

    Args:
        embeddings: Unit topic embeddings, float32 `[topics, dimensions]`; zeros for a topic that is never found.
        work: Folder for a file of the embeddings in another order, which is needed if they are many.
        most_exact: Topics up to which all are compared with each other.

    Attributes:
        has_text: Whether each topic has an embedding, bool `[topics]`.

    Example:
        >>> near = NearTopics(np.array([[1, 0], [0.8, 0.6], [0, 1], [0, 0]], dtype=np.float32), Path("."))
        >>> [(rows.tolist(), found.tolist()) for rows, found, _ in near.search(np.array([0, 2]), 2)]
        [([0, 2], [[0, 1], [2, 1]])]
    """

    def __init__(self, embeddings: FloatArray, work: Path, most_exact: int = MOST_FLAT) -> None:
        self.embeddings = embeddings
        self.has_text = np.concatenate([part.any(axis=1) for part in _parts(embeddings)])
        with_text = np.flatnonzero(self.has_text).astype(np.int32)
        self._exact: FaissRetriever | None = None
        if len(with_text) <= most_exact:
            self._exact = FaissRetriever(with_text, embeddings[with_text])
        else:
            self._pieces = _Pieces(embeddings, with_text, work / "near.npy")

    def __len__(self) -> int:
        return len(self.embeddings)

    def search(self, topics: NDArray[np.integer], k: int) -> Iterator[Found]:
        """Yield the topics that are nearest to some topics, itself among them, in parts and in an order of its own.

        Args:
            topics: Topics that have an embedding, each once.
            k: Number of topics to find for each.
        """
        if self._exact is None:
            yield from self._pieces.search(topics, k)
            return
        for first in range(0, len(topics), _BATCH):
            rows = topics[first : first + _BATCH].astype(np.int32)
            found, scores = self._exact.search(self.embeddings[rows], k)
            yield rows, found, scores


class _Pieces:
    """Embeddings in a file, in the order of pieces of similar topics."""

    def __init__(self, embeddings: FloatArray, topics: NDArray[np.int32], path: Path) -> None:
        size = int(np.sqrt(len(topics)))
        centres = cluster_centres(embeddings, len(topics) // size)
        labels = nearest_centres(embeddings, centres)[topics]
        order = np.argsort(labels, kind="stable")
        self.topics = topics[order]
        self.rows = np.lib.format.open_memmap(path, "w+", np.float32, (len(topics), embeddings.shape[1]))
        for first in range(0, len(topics), _BATCH):
            self.rows[first : first + _BATCH] = embeddings[self.topics[first : first + _BATCH]]
        # A piece is a cluster, or a part of one that is too large for the memory.
        labels = labels[order]
        begins = np.flatnonzero(np.r_[True, labels[1:] != labels[:-1]])
        lengths = np.diff(np.r_[begins, len(topics)])
        cut = [np.arange(at, at + n, 4 * size) for at, n in zip(begins.tolist(), lengths.tolist(), strict=True)]
        self.starts = np.r_[np.concatenate(cut), len(topics)]
        sums = np.stack([self.rows[a:b].sum(axis=0) for a, b in zip(self.starts[:-1], self.starts[1:], strict=True)])
        self.means = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
        self._place = np.full(len(embeddings), -1, dtype=np.int32)
        self._place[self.topics] = np.arange(len(topics), dtype=np.int32)

    def search(self, topics: NDArray[np.integer], k: int) -> Iterator[Found]:
        """Yield what `NearTopics.search` does, piece by piece."""
        places: NDArray[np.int32] = np.sort(self._place[topics])
        bounds = np.asarray(np.searchsorted(places, self.starts))
        for piece in np.flatnonzero(np.diff(bounds)).tolist():
            first, last = bounds[piece : piece + 2].tolist()
            queries = places[first:last]
            near: NDArray[np.int64] = np.argsort(-(self.means @ self.means[piece]), kind="stable")[:_COMPARED]
            spans = [np.arange(self.starts[other], self.starts[other + 1]) for other in np.sort(near).tolist()]
            candidates = np.concatenate(spans)
            scores = self.rows[queries] @ self.rows[candidates].T
            best = _best(scores, k)
            found = self.topics[candidates[best]]
            kept = np.take_along_axis(scores, best, axis=1)
            short = k - found.shape[1]
            yield (
                self.topics[queries],
                np.pad(found, [(0, 0), (0, short)], constant_values=-1),
                np.pad(kept, [(0, 0), (0, short)], constant_values=-np.inf),
            )


def _best(scores: FloatArray, k: int) -> NDArray[np.int64]:
    """Return the columns of the k best scores of each row, best first."""
    if k < scores.shape[1]:
        best = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
    else:
        best = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1)


def _parts(embeddings: FloatArray) -> Iterator[FloatArray]:
    yield from (embeddings[first : first + _BATCH] for first in range(0, max(len(embeddings), 1), _BATCH))
