"""The shared fixture keeps what it promises; other tests rely on it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split, near_duplicates


def test_every_topic_has_text_in_every_split(tiny_corpus: Corpus) -> None:
    assert len(tiny_corpus.graph) == 40
    assert all(tiny_corpus.has(split).all() for split in Split)


def test_graph_is_connected_and_has_three_categories(tiny_corpus: Corpus) -> None:
    assert set(tiny_corpus.graph.components.tolist()) == {0}
    assert len(tiny_corpus.graph.category_names) == 3


def test_no_passage_repeats_across_splits(tiny_corpus: Corpus) -> None:
    assert not near_duplicates(tiny_corpus.texts, tiny_corpus.splits).any()


def test_embeddings_are_unit_vectors(tiny_corpus: Corpus, fake_embeddings: NDArray[np.float32]) -> None:
    assert fake_embeddings.shape == (40, 16)
    assert np.allclose(np.linalg.norm(fake_embeddings, axis=1), 1, atol=1e-5)
