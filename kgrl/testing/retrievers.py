"""The contract of retrievers."""

from __future__ import annotations

import numpy as np

from kgrl.retrieval.base import Retriever

__all__ = ["RetrieverContract"]


class RetrieverContract:
    """What every retriever keeps. A subclass defines `retriever`, and `queries`: unit vectors, `[queries, dimensions]`.

    Example:
        >>> import pytest
        >>> class TestMine(RetrieverContract):
        ...     @pytest.fixture
        ...     def retriever(self) -> Retriever: ...
        ...     @pytest.fixture
        ...     def queries(self) -> np.ndarray: ...
    """

    def test_it_returns_ids_and_scores_best_first(self, retriever: Retriever, queries: np.ndarray) -> None:
        """Shapes and types are as the protocol says; scores descend; no passage is found twice for a query."""
        assert isinstance(retriever, Retriever)
        ids, scores = retriever.search(queries, 5)
        assert ids.shape == scores.shape == (len(queries), 5)
        assert ids.dtype == np.int32 and scores.dtype == np.float32
        found = ids >= 0
        assert all(len(set(row[hit].tolist())) == hit.sum() for row, hit in zip(ids, found, strict=True))
        assert all((np.diff(row[hit]) <= 1e-6).all() for row, hit in zip(scores, found, strict=True))

    def test_fewer_are_the_first_of_more(self, retriever: Retriever, queries: np.ndarray) -> None:
        """Asking for more passages does not change which are best."""
        assert np.array_equal(retriever.search(queries, 6)[0][:, :3], retriever.search(queries, 3)[0])

    def test_what_is_missing_has_no_id(self, retriever: Retriever, queries: np.ndarray) -> None:
        """Asking for more than there are fills the rest with -1."""
        ids, _ = retriever.search(queries, 100_000)
        assert (ids[:, -1] == -1).all()
