"""The scratch learner, and what it shares with all decoders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from kgrl.corpus import Corpus, Split
from kgrl.errors import DivergedError, KgrlError
from kgrl.learners import ScratchLearner, make_learner
from kgrl.learners.scratch import train_tokenizer
from kgrl.testing import LearnerContract

SMALL = {"width": 32, "heads": 2, "vocabulary": 400}


@pytest.fixture
def corpus(tiny_corpus: Corpus) -> Corpus:
    return tiny_corpus


@pytest.fixture
def learner(corpus: Corpus) -> ScratchLearner:
    return ScratchLearner(corpus, **SMALL)


class TestScratch(LearnerContract):
    pass


def test_it_is_made_by_name_and_small_by_default(corpus: Corpus) -> None:
    learner = make_learner("scratch", corpus, seed=3)
    assert isinstance(learner, ScratchLearner)
    assert 400_000 < learner.model.num_parameters() < 1_000_000


def test_the_seed_gives_the_initial_weights(corpus: Corpus) -> None:
    passages = corpus.of(1, Split.PROBE)
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    first, same, other = (ScratchLearner(corpus, seed=seed, **SMALL).losses(passages) for seed in (5, 5, 6))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_packed_passages_have_the_losses_of_the_plain_model(learner: ScratchLearner, corpus: Corpus) -> None:
    passages = corpus.select(np.arange(20))
    plain = []
    for i in passages.ids:
        ids = torch.from_numpy(learner.tokens[int(i)].astype(np.int64))[None]
        with torch.no_grad():
            plain.append(learner.model(input_ids=ids, labels=ids).loss.item())
    np.testing.assert_allclose(learner.losses(passages), plain, rtol=1e-5)


def test_the_loss_reported_is_that_before_the_update(corpus: Corpus) -> None:
    """Each token weighs the same, whatever its passage's length."""
    learner = ScratchLearner(corpus, block_tokens=1000, **SMALL)
    passages = corpus.select([0, 1, 2])
    counts = learner.count_tokens(passages)
    expected = np.average(learner.losses(passages), weights=counts)
    assert learner.learn(passages, int(counts.sum())).loss == pytest.approx(expected, rel=1e-5)


def test_long_passages_are_read_in_pieces(corpus: Corpus) -> None:
    long = Corpus("long", corpus.graph, [" ".join(corpus.texts[:60])], [0], [0])
    learner = ScratchLearner(long, **SMALL)
    passages = long.of(0, Split.TRAIN)
    assert learner.count_tokens(passages)[0] > 1000
    assert np.isfinite(learner.losses(passages)).all()
    learned = learner.learn(passages, 10**6)
    assert (learned.tokens, learned.chunked) == (learner.count_tokens(passages)[0], 1)
    assert learner.learn(passages, 100).chunked == 0  # cut before the context ends


def test_a_loss_that_is_not_finite_stops_before_the_update(learner: ScratchLearner, corpus: Corpus) -> None:
    with torch.no_grad():
        learner.model.model.norm.weight[0] = torch.nan
    weights = learner.snapshot().weights
    read = corpus.of(0, Split.TRAIN)
    with pytest.raises(DivergedError, match=rf"nan.* on passages {read.ids[0]}, {read.ids[1]}$"):
        learner.learn(read, int(learner.count_tokens(read)[0]) + 2)
    assert torch.equal(weights.nan_to_num(), learner.snapshot().weights.nan_to_num())
    assert learner.steps == 0
    with pytest.raises(DivergedError, match=f"passage {corpus.of(1, Split.PROBE).ids[0]}"):
        learner.losses(corpus.of(1, Split.PROBE))


def test_passages_of_another_corpus_are_refused(learner: ScratchLearner, corpus: Corpus) -> None:
    other = Corpus("other", corpus.graph, ["Some text."], [0], [0])
    with pytest.raises(ValueError, match="'other'"):
        learner.losses(other.of(0, Split.TRAIN))


def test_the_tokenizer_never_reads_held_out_text(corpus: Corpus) -> None:
    altered = [t if s == Split.TRAIN else "zyx" * 9 for t, s in zip(corpus.texts, corpus.splits, strict=True)]
    other = Corpus("other", corpus.graph, altered, corpus.topics, corpus.splits)
    assert train_tokenizer(corpus, 400).get_vocab() == train_tokenizer(other, 400).get_vocab()


def test_a_saved_learner_is_a_plain_model_folder(learner: ScratchLearner, corpus: Corpus, tmp_path: Path) -> None:
    learner.learn(corpus.of(0, Split.TRAIN), 300)
    learner.save(tmp_path)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    text = corpus.texts[0]
    ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]])
    with torch.no_grad():
        loss = model(input_ids=ids, labels=ids).loss.item()
    assert loss == pytest.approx(float(learner.losses(corpus.select([0]))[0]), rel=1e-5)


def test_a_state_of_another_shape_is_refused(learner: ScratchLearner, corpus: Corpus, tmp_path: Path) -> None:
    ScratchLearner(corpus, width=16, heads=2, vocabulary=400).save(tmp_path)
    with pytest.raises(KgrlError, match="width is 32"):
        learner.load(tmp_path)
