"""Learners and encoders on a device that is not the CPU; `tests/learners/test_devices.py` runs these tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch

from kgrl.corpus import Corpus, Split
from kgrl.learners import FullLearner, LoraLearner, ScratchLearner
from kgrl.learners.adapters.folder import AdapterFacts
from kgrl.learners.decoder.learner import DecoderLearner
from kgrl.learners.decoder.lora import write_adapter
from kgrl.learners.plugins import make_plugin
from kgrl.retrieval.encoder import Encoder
from tests.support.architectures import save_tiny
from tests.support.marked_device import Marked, marked_device

KINDS = {
    "lora": (LoraLearner, {"learning_rate": 1e-2, "dtype": "float32"}),
    "dora": (LoraLearner, {"learning_rate": 1e-2, "dtype": "float32", "dora": True}),
    "again": (LoraLearner, {"learning_rate": 1e-2, "dtype": "float32", "checkpointing": True, "accumulate": 2}),
    "full": (FullLearner, {"learning_rate": 1e-3}),
    "scratch": (ScratchLearner, {"width": 16, "heads": 2}),
    "relora": (ScratchLearner, {"width": 16, "heads": 2, "rank": 2}),
    "windows": (ScratchLearner, {"width": 16, "heads": 2, "linked_windows": True, "average_tokens": 100}),
}


def make(kind: str, corpus: Corpus, base: Path, device: Any, **options: Any) -> DecoderLearner:
    cls, own = KINDS[kind]
    model = {} if cls is ScratchLearner else {"model": str(base)}
    learner: DecoderLearner = cls(corpus, device=device, **model, **own, **options)
    return learner


def test_the_stand_in_refuses_what_a_device_refuses() -> None:
    with marked_device() as device:
        there = torch.ones(2).to("marked")
        with pytest.raises(RuntimeError, match="mixes devices"):
            there + torch.ones(2)
        assert (there * 3).cpu().tolist() == [3, 3] and device.waits == 1


@pytest.mark.parametrize("kind", KINDS)
def test_all_of_a_learner_is_on_its_device_and_it_learns_the_same(
    kind: str, tiny_corpus: Corpus, base_folder: Path, tmp_path: Path
) -> None:
    passages, probe = tiny_corpus.of(0, Split.TRAIN), tiny_corpus.of(1, Split.PROBE)
    usual = make(kind, tiny_corpus, base_folder, "cpu")
    learned = usual.learn(passages, 500)
    with marked_device():
        learner = make(kind, tiny_corpus, base_folder, torch.device("marked"))
        assert all(isinstance(weight, Marked) for weight in learner.model.parameters())
        before, first = learner.snapshot(), learner.losses(probe)
        assert learner.learn(passages, 500).loss == pytest.approx(learned.loss, rel=1e-5)
        np.testing.assert_allclose(learner.losses(probe), usual.losses(probe), rtol=1e-4)
        np.testing.assert_allclose(learner.loss_gradient(probe), usual.loss_gradient(probe), rtol=1e-2, atol=1e-5)
        learner.save(tmp_path)
        learner.restore(before)
        assert np.array_equal(learner.losses(probe), first)
        learner.load(tmp_path)
        np.testing.assert_allclose(learner.losses(probe), usual.losses(probe), rtol=1e-4)
    usual.load(tmp_path)  # what was saved on one device is read on another


@pytest.mark.parametrize("spare", [None, 10**9, 1000])
@pytest.mark.parametrize("kind", ["full", "windows"])
def test_snapshots_stay_on_the_device_if_there_is_room(
    kind: str, spare: int | None, tiny_corpus: Corpus, base_folder: Path
) -> None:
    passages, probe = tiny_corpus.of(0, Split.TRAIN), tiny_corpus.of(1, Split.PROBE)
    with marked_device(), patch("kgrl.system.devices.spare_memory", return_value=spare):
        learner = make(kind, tiny_corpus, base_folder, torch.device("marked"))
        learner.learn(passages, 300)
        kept, losses = learner.snapshot(), learner.losses(probe)
        held = [kept.trained.weights, kept.trained.first_moment, kept.trained.second_moment]
        held += [] if kept.average is None else [kept.average]
        assert {isinstance(tensor, Marked) for tensor in held} == {spare != 1000}
        after = [learner.learn(passages, 300).loss, *learner.losses(probe)]
        learner.restore(kept)
        assert np.array_equal(learner.losses(probe), losses)
        assert [learner.learn(passages, 300).loss, *learner.losses(probe)] == after


@pytest.mark.parametrize("kind", ["lora", "scratch"])
def test_questions_are_answered_there_as_on_the_cpu(kind: str, tiny_corpus: Corpus, base_folder: Path) -> None:
    names = ("a part", "the lake", "Set")
    turned = [(title, names[(i + k) % 3]) for i, title in enumerate(tiny_corpus.graph.titles) for k in range(3)]
    texts = [f"{title} is {name} of it." for title, name in turned]
    groups = np.repeat(np.arange(len(texts) // 3, dtype=np.int32), 3)
    side = Corpus("asked", tiny_corpus.graph, texts, groups, np.full(len(texts), Split.EXAM))
    every = side.select(np.arange(len(side)))
    expected = make(kind, tiny_corpus, base_folder, "cpu").reading(side, once=True).first_likeliest(every, groups)
    assert len(np.unique(expected[0])) == 2
    with marked_device():
        learner = make(kind, tiny_corpus, base_folder, torch.device("marked"))
        answers, tokens = learner.reading(side, once=True).first_likeliest(every, groups)
    assert np.array_equal(answers, expected[0]) and tokens == expected[1]


@pytest.mark.parametrize("kind", ["lora", "scratch", "full"])
def test_the_host_waits_once_an_update(kind: str, tiny_corpus: Corpus, base_folder: Path) -> None:
    with marked_device() as device:
        learner = make(kind, tiny_corpus, base_folder, torch.device("marked"), block_tokens=50)
        waits = list[int]()
        step = learner.step

        def counted(rate: float) -> None:
            waits.append(device.waits)
            step(rate)

        with patch.object(learner, "step", counted):
            learner.learn(tiny_corpus.of(0, Split.TRAIN), 400)
        assert len(waits) > 2
        assert np.diff(waits).tolist() == [1] * (len(waits) - 1)


@pytest.mark.parametrize(
    "plugin",
    ["replay", "elastic", "top-k:share=0.1", "freeze-layers", "gradient-projection:rank=2", "orthogonal:slots=2"],
)
def test_plugins_work_there_and_their_states_come_back(
    plugin: str, tiny_corpus: Corpus, base_folder: Path, tmp_path: Path
) -> None:
    with marked_device():
        learner = make("lora", tiny_corpus, base_folder, torch.device("marked"), plugins=[make_plugin(plugin)])
        learner.learn(tiny_corpus.of(0, Split.TRAIN), 300)
        learner.save(tmp_path)
        learner.load(tmp_path)
        learner.learn(tiny_corpus.of(1, Split.TRAIN), 300)


def test_adapters_are_written_from_there_and_read_there(tiny_corpus: Corpus, base_folder: Path, tmp_path: Path) -> None:
    with marked_device():
        learner = make("lora", tiny_corpus, base_folder, torch.device("marked"))
        assert isinstance(learner, LoraLearner)
        learner.learn(tiny_corpus.of(0, Split.TRAIN), 300)
        write_adapter(learner, tmp_path, AdapterFacts())
        after = learner.losses(tiny_corpus.select([0]))
        learner.load_adapter(tmp_path)
        np.testing.assert_allclose(learner.losses(tiny_corpus.select([0])), after, rtol=1e-6)


@pytest.mark.parametrize("family", ["BLOOM", "Mamba", "Gemma 2", "Phi"])
def test_other_architectures_are_placed_too(
    family: str, tiny_corpus: Corpus, base_folder: Path, tmp_path: Path
) -> None:
    save_tiny(family, base_folder, tmp_path)
    with marked_device(), pytest.warns() if family in ("BLOOM", "Mamba") else pytest.MonkeyPatch.context():
        learner = make("lora", tiny_corpus, tmp_path, torch.device("marked"))
        learner.learn(tiny_corpus.of(0, Split.TRAIN), 200)
        assert np.isfinite(learner.losses(tiny_corpus.select([0]))).all()


def test_a_transformer_encodes_on_its_device() -> None:
    texts = ["Logic asks what follows.", "A set has members.", "River"]
    expected = Encoder("minilm").encode(texts)
    with marked_device(), patch("kgrl.retrieval.encoder.find_device", return_value=torch.device("marked")):
        np.testing.assert_allclose(Encoder("minilm:device=marked").encode(texts), expected, atol=1e-6)
