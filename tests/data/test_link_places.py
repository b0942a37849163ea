"""Places of links: where texts first mention them, kept with a corpus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kgrl.corpus import Corpus, Split
from kgrl.data.folder import load_folder, save_folder
from kgrl.data.text.linking import find_places
from kgrl.errors import DataError
from kgrl.graph import TopicGraph

TEXTS = ["Logic comes before sets.", "Numbers are in the exam alone.", "A set, then a proof; a proof again.", "Sets."]


@pytest.fixture
def corpus() -> Corpus:
    """Logic links to all others and has three passages, the second of them for the exam; Proof links to Logic."""
    graph = TopicGraph.from_links(["Logic", "Number", "Proof", "Set"], [0, 0, 0, 2], [1, 2, 3, 0])
    splits = [Split.TRAIN, Split.EXAM, Split.PROBE, Split.TRAIN]
    return Corpus("tiny", graph, TEXTS, [0, 0, 0, 2], splits)


def test_places_count_words_over_passages_and_leave_the_exam_unread(corpus: Corpus) -> None:
    """The first passage has 4 words and a full stop, the second 6 and a full stop; what is only there has no place."""
    logic_to_number, logic_to_proof, logic_to_set, proof_to_logic = find_places(corpus).tolist()
    assert logic_to_set == 3 and logic_to_number == proof_to_logic == -1
    alone = Corpus("tiny", corpus.graph, TEXTS[2:3], [0], [Split.TRAIN])
    assert logic_to_proof > find_places(alone).tolist()[1] > 0


def test_places_are_kept_in_folders(corpus: Corpus, tmp_path: Path) -> None:
    placed = corpus.graph.with_places(np.array([-1, 0, 12, 7], dtype=np.int32))
    save_folder(Corpus("tiny", placed, TEXTS, corpus.topics, corpus.splits), tmp_path / "placed")
    save_folder(Corpus("tiny", corpus.graph, TEXTS, corpus.topics, corpus.splits), tmp_path / "plain")
    again = load_folder(tmp_path / "placed").graph.places
    assert again is not None and again.tolist() == [-1, 0, 12, 7]
    assert load_folder(tmp_path / "plain").graph.places is None


@pytest.mark.parametrize(
    ("links", "problem"),
    [
        ("Logic\tProof\t3\nProof\tLogic\n", "give all links a place"),
        ("Logic\tProof\tsoon\n", "two titles with one tab"),
        ("Logic\tProof\t-2\n", "two titles with one tab"),
    ],
)
def test_bad_places_are_named(corpus: Corpus, tmp_path: Path, links: str, problem: str) -> None:
    save_folder(Corpus("tiny", corpus.graph, TEXTS, corpus.topics, corpus.splits), tmp_path / "bad")
    (tmp_path / "bad" / "topics.jsonl").write_text('{"title": "Logic"}\n{"title": "Proof"}\n')
    (tmp_path / "bad" / "links.tsv").write_text(links)
    with pytest.raises(DataError, match=problem):
        load_folder(tmp_path / "bad")


def test_as_many_places_as_links(corpus: Corpus) -> None:
    with pytest.raises(ValueError, match="4 links need as many places, not 2"):
        corpus.graph.with_places(np.array([1, 2], dtype=np.int32))
