"""Passages and their splits: disjoint, stable, free of near-duplicates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.corpus import Corpus, Split, cut, near_duplicates, split_passages
from kgrl.graph import TopicGraph

words = st.text(alphabet="abcdefg", min_size=1, max_size=6)
sentences = st.lists(words, min_size=1, max_size=25).map(lambda ws: " ".join([*ws, "ends."]).capitalize())


@given(st.lists(sentences, max_size=30), st.integers(5, 80))
def test_cutting_loses_no_word_and_keeps_the_order(parts: list[str], size: int) -> None:
    text = " ".join(parts)
    assert " ".join(cut(text, size)).split() == text.split()


@given(st.lists(sentences, min_size=3, max_size=30))
def test_three_sentences_give_three_passages(parts: list[str]) -> None:
    assert len(cut(" ".join(parts))) >= 3


@given(st.text(min_size=1, max_size=20), st.lists(words, max_size=40, unique=True))
def test_every_split_is_filled_as_promised(title: str, passages: list[str]) -> None:
    splits = split_passages(title, passages)
    counts = np.bincount(splits, minlength=3)
    assert counts.sum() == len(passages)
    if passages:
        assert splits[0] == Split.TRAIN
    if len(passages) >= 3:
        assert counts[Split.PROBE] == counts[Split.EXAM] == max(1, round(0.2 * len(passages)))
    assert split_passages(title, passages).tolist() == splits.tolist()


def test_split_of_a_topic_does_not_depend_on_other_topics() -> None:
    passages = [f"passage {i}" for i in range(10)]
    assert split_passages("a", passages).tolist() != split_passages("b", passages).tolist()


def test_near_duplicates_keep_what_is_held_out() -> None:
    base = "the first treatise on the motion of the heavens was written in this city long ago"
    texts = [base, base + " indeed", "something else altogether that shares no run of words with the others here", base]
    splits = np.array([Split.TRAIN, Split.PROBE, Split.TRAIN, Split.EXAM], dtype=np.uint8)
    assert near_duplicates(texts, splits).tolist() == [True, True, False, False]


@given(st.lists(st.tuples(sentences, st.integers(0, 2)), max_size=30))
def test_no_text_survives_in_two_splits(rows: list[tuple[str, int]]) -> None:
    texts, splits = [t for t, _ in rows], np.array([s for _, s in rows], dtype=np.uint8)
    kept = ~near_duplicates(texts, splits)
    by_split = [{t.lower() for t, s, k in zip(texts, splits, kept, strict=True) if k and s == split} for split in Split]
    assert not (by_split[0] & by_split[1] or by_split[0] & by_split[2] or by_split[1] & by_split[2])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), max_size=40))
def test_groups_partition_the_passages(rows: list[tuple[int, int]]) -> None:
    rows = sorted(rows, key=lambda row: row[0])
    graph = TopicGraph.from_links(list("abcde"), [], [])
    corpus = Corpus("c", graph, [str(i) for i in range(len(rows))], [t for t, _ in rows], [s for _, s in rows])
    seen = []
    for topic in range(5):
        for split in Split:
            ids = corpus.ids_of(topic, split)
            assert ids.tolist() == [i for i, row in enumerate(rows) if row == (topic, split)]
            assert corpus.has(split)[topic] == (len(ids) > 0)
            seen += ids.tolist()
    for split in Split:
        starts, ids = corpus.rows_of(split)
        rows_found = [ids[starts[topic] : starts[topic + 1]].tolist() for topic in range(5)]
        assert rows_found == [corpus.ids_of(topic, split).tolist() for topic in range(5)]
    assert sorted(seen) == list(range(len(rows)))


def test_passages_must_be_ordered_by_topic() -> None:
    graph = TopicGraph.from_links(["a", "b"], [], [])
    with pytest.raises(ValueError, match="ordered by topic"):
        Corpus("c", graph, ["x", "y"], [1, 0], [0, 0])


def test_fingerprint_covers_splits_and_texts(tiny_corpus: Corpus) -> None:
    def with_(texts: list[str], splits: np.ndarray) -> str:
        return Corpus("c", tiny_corpus.graph, texts, tiny_corpus.topics, splits).fingerprint

    texts, splits = list(tiny_corpus.texts), tiny_corpus.splits
    flipped = splits.copy()
    flipped[0] = Split.EXAM
    assert with_(texts, splits) == tiny_corpus.fingerprint
    assert len({with_(texts, splits), with_(texts, flipped), with_([texts[0] + ".", *texts[1:]], splits)}) == 3


def test_a_corpus_and_a_selection_are_shown_on_one_line() -> None:
    graph = TopicGraph.from_links([str(i) for i in range(1_200)], [0, 0], [1, 2])
    corpus = Corpus("many", graph, ["x"] * 1_200, range(1_200), [Split.TRAIN] * 1_199 + [Split.EXAM])
    assert repr(corpus) == "Corpus('many', 1,200 topics, 2 links, 1,200 passages: 1,199 train, 0 probe, 1 exam)"
    assert repr(corpus.select([3, 4])) == "Passages(2 of 'many')"
