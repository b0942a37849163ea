"""The token store: what a corpus is turned into, and that it is made once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from kgrl.corpus import Corpus
from kgrl.errors import KgrlError
from kgrl.graph import TopicGraph
from kgrl.learners.decoder.token_store import TokenStore

TEXTS = ["one two three", "two", "three one"]


def corpus_of(texts: list[str]) -> Corpus:
    graph = TopicGraph.from_links(["Numbers"], [], [])
    return Corpus("numbers", graph, texts, [0] * len(texts), [0] * len(texts))


@pytest.fixture
def tokenizer() -> Tokenizer:
    words = Tokenizer(models.WordLevel({"<doc>": 0, "one": 1, "two": 2, "three": 3, "?": 4}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return words


def test_every_passage_is_led_by_the_document_token(tokenizer: Tokenizer, tmp_path: Path) -> None:
    store = TokenStore.of(corpus_of(TEXTS), tokenizer, 0, tmp_path)
    assert [store[i].tolist() for i in range(len(store))] == [[0, 1, 2, 3], [0, 2], [0, 3, 1]]
    assert store.count(np.array([0, 1, 2])).tolist() == [3, 1, 2]


def test_sequences_come_in_the_order_asked_for(tokenizer: Tokenizer, tmp_path: Path) -> None:
    corpus = corpus_of(TEXTS)
    sequences = TokenStore.of(corpus, tokenizer, 0, tmp_path).sequences(corpus.select([2, 1]))
    assert [s.tolist() for s in sequences] == [[0, 3, 1], [0, 2]]


def test_the_second_time_nothing_is_tokenised(tokenizer: Tokenizer, tmp_path: Path) -> None:
    corpus = corpus_of(TEXTS)
    TokenStore.of(corpus, tokenizer, 0, tmp_path)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = TokenStore.of(corpus, tokenizer, 0, tmp_path)
    assert again[0].tolist() == [0, 1, 2, 3]
    assert written == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert isinstance(again.ids.base, np.memmap)


@pytest.mark.parametrize("changed", ["texts", "tokenizer", "document token"])
def test_whatever_changes_the_ids_changes_the_entry(changed: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    TokenStore.of(corpus_of(TEXTS), tokenizer, 0, tmp_path)
    texts = ["two two", *TEXTS[1:]] if changed == "texts" else TEXTS
    if changed == "tokenizer":
        tokenizer.add_tokens(["one two"])
    store = TokenStore.of(corpus_of(texts), tokenizer, 4 if changed == "document token" else 0, tmp_path)
    expected = {"texts": [0, 2, 2], "tokenizer": [0, 5, 3], "document token": [4, 1, 2, 3]}
    assert store[0].tolist() == expected[changed]


def test_a_tokenizer_set_up_to_cut_does_not_cut(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.enable_truncation(max_length=1)
    tokenizer.enable_padding(length=8)
    assert TokenStore.of(corpus_of(TEXTS), tokenizer, 0, tmp_path)[0].tolist() == [0, 1, 2, 3]


def test_a_passage_without_tokens_is_named(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(KgrlError, match="passage 1 of corpus 'numbers'"):
        TokenStore.of(corpus_of(["one", " ", "two"]), tokenizer, 0, tmp_path)
    assert all(path.suffix == ".lock" for path in tmp_path.iterdir())
