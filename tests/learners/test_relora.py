"""ReLoRA: merging adapters and beginning them anew, on the low-rank scratch learner and the LoRA learner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kgrl.corpus import Corpus, Split
from kgrl.errors import KgrlError, SettingError
from kgrl.learners import LoraLearner, ScratchLearner
from kgrl.learners.adapters.folder import AdapterFacts
from kgrl.learners.decoder.layers import merged_state
from kgrl.learners.decoder.learner import DecoderLearner
from kgrl.learners.decoder.lora import write_adapter
from kgrl.learners.plugins import ReLoRA
from kgrl.testing import LearnerContract

SMALL = {"width": 32, "heads": 2, "vocabulary": 400, "block_tokens": 64}
EVERY = 3
LAYER = "model.layers.0.self_attn.q_proj"


@pytest.fixture
def corpus(tiny_corpus: Corpus) -> Corpus:
    return tiny_corpus


@pytest.fixture(params=["scratch", "lora"])
def learner(request: pytest.FixtureRequest, corpus: Corpus, base_folder: Path) -> DecoderLearner:
    return make(request.param, corpus, base_folder, ReLoRA(every=EVERY, rewarm=2))


def make(kind: str, corpus: Corpus, base_folder: Path, plugin: ReLoRA, seed: int = 0) -> DecoderLearner:
    if kind == "scratch":
        return ScratchLearner(corpus, seed=seed, rank=2, plugins=[plugin], **SMALL)
    # In bfloat16, which some machines are faster with, a merge rounds the base's weights: nothing there is exact.
    options = {"learning_rate": 1e-2, "block_tokens": 64, "dtype": torch.float32}
    return LoraLearner(corpus, seed=seed, model=str(base_folder), rank=2, alpha=4, plugins=[plugin], **options)


def relora(learner: DecoderLearner) -> ReLoRA:
    (plugin,) = learner.plugins
    assert isinstance(plugin, ReLoRA)
    return plugin


def teach(learner: DecoderLearner, updates: int) -> None:
    """Teach blocks until there are so many updates more."""
    goal = learner.steps + updates
    while learner.steps < goal:
        learner.learn(learner.corpus.of(learner.steps % 40, Split.TRAIN), learner.block_tokens)
    assert learner.steps == goal


class TestReLoRA(LearnerContract):
    """The contract's lessons have several updates, so its snapshots and saved states lie on both sides of merges."""


@pytest.mark.parametrize("kind", ["scratch", "lora"])
def test_a_merge_changes_no_losses(kind: str, corpus: Corpus, base_folder: Path) -> None:
    merged, not_merged = (make(kind, corpus, base_folder, ReLoRA(every=every)) for every in (EVERY, 10**6))
    for learner in (merged, not_merged):
        teach(learner, EVERY)
    assert (relora(merged).merges, relora(not_merged).merges) == (1, 0)
    assert relora(merged).rebased and not relora(not_merged).rebased
    assert all(not merged.view(merged.weights, name).any() for name in merged.shapes if ".lora_B." in name)
    passages = corpus.select(np.arange(30))
    np.testing.assert_allclose(merged.losses(passages), not_merged.losses(passages), rtol=1e-5)
    torch.testing.assert_close(merged_state(merged.model), merged_state(not_merged.model))


def test_many_merges_add_up_to_a_higher_rank(learner: DecoderLearner) -> None:
    before = merged_state(learner.model)[f"{LAYER}.weight"].clone()
    ranks = []
    for _ in range(3):
        teach(learner, EVERY)
        change = merged_state(learner.model)[f"{LAYER}.weight"] - before
        ranks.append(int(torch.linalg.matrix_rank(change, rtol=1e-4)))
    assert relora(learner).merges == 3
    assert ranks == [2, 4, 6]


def test_a_merge_forgets_the_adapters_moments_and_no_others(learner: DecoderLearner) -> None:
    teach(learner, EVERY)
    for moment in learner.moments:
        for name in learner.shapes:
            assert learner.view(moment, name).any() == (".lora_" not in name), name


def test_the_learning_rate_rises_again_after_a_merge(learner: DecoderLearner) -> None:
    learner.warmup_steps = 2
    factors = []
    for _ in range(2 * EVERY + 2):
        teach(learner, 1)
        factors.append(learner.current_rate / learner.learning_rate)
    assert factors == [0.5, 1, 1, 0.5, 1, 1, 0.5, 1]


@pytest.mark.parametrize("updates", [EVERY - 1, EVERY, 2 * EVERY + 1])
def test_going_back_over_merges_is_exact(learner: DecoderLearner, corpus: Corpus, updates: int) -> None:
    """From before any merge, from right after one, and from between two."""
    passages = corpus.select(np.arange(12))
    teach(learner, updates)
    snapshot, losses, merges = learner.snapshot(), learner.losses(passages), relora(learner).merges
    teach(learner, 2 * EVERY)
    later = learner.losses(passages)
    for _ in range(2):
        learner.restore(snapshot)
        assert relora(learner).merges == merges
        assert np.array_equal(learner.losses(passages), losses)
        teach(learner, 2 * EVERY)
        assert np.array_equal(learner.losses(passages), later)


def test_a_snapshot_copies_no_layer(learner: DecoderLearner) -> None:
    teach(learner, EVERY)
    (state,) = learner.snapshot().plugins
    layer = learner.model.get_submodule(LAYER).base_layer.weight
    assert state[f"base.{LAYER}"].data_ptr() == layer.data_ptr()


@pytest.mark.parametrize("kind", ["scratch", "lora"])
@pytest.mark.parametrize("updates", [1, EVERY + 1])
def test_another_process_goes_on_from_what_was_saved(
    kind: str, updates: int, corpus: Corpus, base_folder: Path, tmp_path: Path
) -> None:
    one, two = (make(kind, corpus, base_folder, ReLoRA(every=EVERY, rewarm=2)) for _ in range(2))
    teach(one, updates)
    one.save(tmp_path)
    teach(two, 2 * EVERY)  # merges that are to be undone
    two.load(tmp_path)
    passages = corpus.select(np.arange(12))
    for _ in range(2):
        assert np.array_equal(one.losses(passages), two.losses(passages))
        for learner in (one, two):
            teach(learner, EVERY)


def test_nothing_merged_nothing_saved(learner: DecoderLearner, tmp_path: Path) -> None:
    teach(learner, EVERY - 1)
    learner.save(tmp_path)
    assert (tmp_path / "plugins.safetensors").stat().st_size < 1000


def test_each_merge_and_seed_draws_other_adapters(corpus: Corpus, base_folder: Path) -> None:
    drawn = []
    for seed in (1, 1, 2):
        learner = make("scratch", corpus, base_folder, ReLoRA(every=1, seed=seed))
        for _ in range(2):
            teach(learner, 1)
            drawn.append(learner.view(learner.weights, f"{LAYER}.lora_A.default.weight").clone())
    assert torch.equal(drawn[0], drawn[2]) and torch.equal(drawn[1], drawn[3])
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[4])


def test_a_learner_without_adapters_is_refused(corpus: Corpus) -> None:
    with pytest.raises(SettingError, match="scratch' with a rank"):
        ScratchLearner(corpus, plugins=[ReLoRA()], **SMALL)


@pytest.mark.parametrize("settings", [{"every": 0}, {"rewarm": 0}])
def test_numbers_below_1_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(SettingError, match="at least 1"):
        ReLoRA(**settings)


def test_a_state_over_other_random_weights_is_refused(corpus: Corpus, base_folder: Path, tmp_path: Path) -> None:
    make("scratch", corpus, base_folder, ReLoRA(), seed=1).save(tmp_path)
    with pytest.raises(KgrlError, match="base_model"):
        make("scratch", corpus, base_folder, ReLoRA(), seed=2).load(tmp_path)


def test_no_adapter_is_written_of_what_was_merged(corpus: Corpus, base_folder: Path, tmp_path: Path) -> None:
    learner = make("lora", corpus, base_folder, ReLoRA(every=EVERY))
    assert isinstance(learner, LoraLearner)
    write_adapter(learner, tmp_path / "before", AdapterFacts())
    teach(learner, EVERY)
    with pytest.raises(KgrlError, match="'relora' merged"):
        write_adapter(learner, tmp_path / "after", AdapterFacts())
