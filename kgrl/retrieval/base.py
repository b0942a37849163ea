"""The protocol of retrievers."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from kgrl.graph.topic_graph import IntArray

__all__ = ["FloatArray", "Retriever"]

FloatArray = NDArray[np.float32]


@runtime_checkable
class Retriever(Protocol):
    """Search for the passages nearest to queries."""

    def search(self, queries: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
        """Return the ids and the scores of the k best passages for each query.

        Args:
            queries: Unit vectors, float32, shape `[queries, dimensions]`.
            k: Number of passages for each query.

        Returns:
            Passage ids, int32, and their cosines, float32, both of shape `[queries, k]`, best first; id -1 in the last
            columns if there are fewer than k passages.
        """
        ...
