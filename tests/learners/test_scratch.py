"""The scratch learner, and what it shares with all decoders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from kgrl.corpus import Corpus, Split
from kgrl.errors import DivergedError, KgrlError, UnknownNameError
from kgrl.learners import ScratchLearner, make_learner
from kgrl.learners.decoder.scratch import PRESETS, train_tokenizer
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
    assert 400_000 < learner.n_parameters < 1_000_000


@pytest.fixture(scope="module")
def wordy_corpus(tiny_corpus: Corpus) -> Corpus:
    """Enough different words to fill any preset's vocabulary."""
    letters = np.random.default_rng(3).integers(97, 123, size=(9_000, 6)).astype(np.uint8)
    text = " ".join(bytes(word).decode() for word in np.repeat(letters, 2, axis=0))
    return Corpus("wordy", tiny_corpus.graph, [text], [0], [0])


@pytest.mark.parametrize("preset", PRESETS)
def test_a_presets_name_tells_its_parameters(preset: str, wordy_corpus: Corpus) -> None:
    learner = ScratchLearner(wordy_corpus, preset=preset)
    assert learner.tokenizer.get_vocab_size() == PRESETS[preset].vocabulary
    assert learner.weights.numel() == learner.n_parameters
    assert learner.n_parameters == pytest.approx(1e6 * float(preset.removesuffix("m")), rel=0.1)


def test_a_number_of_ones_own_takes_the_place_of_the_presets(corpus: Corpus) -> None:
    learner = ScratchLearner(corpus, preset="0.4m", layers=1, vocabulary=300)
    assert learner.model.shape == replace(PRESETS["0.4m"], layers=1, vocabulary=300)


def test_an_unknown_preset_lists_those_there_are(corpus: Corpus) -> None:
    with pytest.raises(UnknownNameError, match=r"preset '0\.7M'; did you mean '0\.7m'"):
        ScratchLearner(corpus, preset="0.7M")


def test_with_a_rank_linear_layers_keep_what_they_were_drawn(corpus: Corpus) -> None:
    """And before anything is learned, the losses are those of the full-rank learner with the same seed."""
    full, low = ScratchLearner(corpus, seed=4, **SMALL), ScratchLearner(corpus, seed=4, rank=2, **SMALL)
    passages = corpus.of(0, Split.TRAIN)
    np.testing.assert_allclose(low.losses(passages), full.losses(passages), rtol=1e-5)
    before = {name: weight.detach().clone() for name, weight in low.model.named_parameters()}
    low.learn(passages, 10_000)
    low.learn(passages, 10_000)
    changed = {name for name, weight in low.model.named_parameters() if not torch.equal(weight, before[name])}
    assert changed == {name for name in before if ".base_layer." not in name} == set(low.shapes)
    assert {"model.embed_tokens.weight", "model.norm.weight"} <= changed
    assert low.weights.numel() < full.weights.numel()


class TestLowRank(LearnerContract):
    @pytest.fixture
    def learner(self, corpus: Corpus) -> ScratchLearner:
        return ScratchLearner(corpus, rank=4, **SMALL)


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
            plain.append(torch.nn.functional.cross_entropy(learner.model(ids)[0, :-1], ids[0, 1:]).item())
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
    weights = learner.copy().weights
    read = corpus.of(0, Split.TRAIN)
    with pytest.raises(DivergedError, match=rf"nan.* on passages {read.ids[0]}, {read.ids[1]}$"):
        learner.learn(read, int(learner.count_tokens(read)[0]) + 2)
    assert torch.equal(weights.nan_to_num(), learner.copy().weights.nan_to_num())
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


@pytest.mark.parametrize("rank", [None, 4])
def test_a_saved_learner_is_a_plain_model_folder(rank: int | None, corpus: Corpus, tmp_path: Path) -> None:
    learner = ScratchLearner(corpus, rank=rank, **SMALL)
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


def test_a_state_of_another_rank_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    ScratchLearner(corpus, rank=2, **SMALL).save(tmp_path)
    with pytest.raises(KgrlError, match="rank is 4"):
        ScratchLearner(corpus, rank=4, **SMALL).load(tmp_path)
