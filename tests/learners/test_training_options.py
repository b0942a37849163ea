"""Options of learners with a pretrained model: kinds of adapters, full fine-tuning, checkpointing, accumulation."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from transformers import AutoModelForCausalLM

from kgrl.corpus import Corpus, Split
from kgrl.errors import KgrlError, SettingError, UnknownNameError
from kgrl.learners import FullLearner, LoraLearner, make_learner
from kgrl.learners.adapters.folder import AdapterFacts
from kgrl.learners.decoder.lora import write_adapter
from kgrl.learners.make import learner_options
from kgrl.learners.plugins import make_plugin
from kgrl.system.options import join_options
from kgrl.testing import LearnerContract


@pytest.fixture
def corpus(tiny_corpus: Corpus) -> Corpus:
    return tiny_corpus


class TestFull(LearnerContract):
    @pytest.fixture
    def learner(self, corpus: Corpus, base_folder: Path) -> FullLearner:
        return FullLearner(corpus, model=str(base_folder), learning_rate=1e-3)


class TestDora(LearnerContract):
    @pytest.fixture
    def learner(self, corpus: Corpus, base_folder: Path) -> LoraLearner:
        return LoraLearner(corpus, model=str(base_folder), dora=True, learning_rate=1e-2)


def plain_loss(model: Any, learner: Any, passage: int) -> float:
    ids = torch.from_numpy(learner.tokens[passage].astype(np.int64))[None]
    with torch.no_grad():
        return float(model(input_ids=ids, labels=ids).loss)


@pytest.mark.parametrize("options", [{"dora": True}, {"rslora": True}, {"dora": True, "rslora": True, "alpha": 8.5}])
def test_peft_loads_a_saved_adapter_of_any_kind(
    options: dict[str, Any], corpus: Corpus, base_folder: Path, tmp_path: Path
) -> None:
    learner = LoraLearner(corpus, model=str(base_folder), rank=4, learning_rate=1e-2, **options)
    assert learner.learn(corpus.of(0, Split.TRAIN), 1000).changed > 0.9  # type: ignore[operator]
    write_adapter(learner, tmp_path, AdapterFacts())
    loaded = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base_folder), tmp_path)
    assert plain_loss(loaded, learner, 0) == pytest.approx(float(learner.losses(corpus.select([0]))[0]), rel=1e-4)


def test_an_adapter_with_rslora_is_loaded_by_a_learner_of_another_scale(
    corpus: Corpus, base_folder: Path, tmp_path: Path
) -> None:
    one, other = (LoraLearner(corpus, model=str(base_folder), rank=4, rslora=rslora) for rslora in (True, False))
    one.learn(corpus.of(0, Split.TRAIN), 1000)
    write_adapter(one, tmp_path, AdapterFacts())
    other.load_adapter(tmp_path)
    passages = corpus.of(0, Split.PROBE)
    np.testing.assert_allclose(other.losses(passages), one.losses(passages), rtol=1e-5)


def test_states_of_other_kinds_are_refused(corpus: Corpus, base_folder: Path, tmp_path: Path) -> None:
    LoraLearner(corpus, model=str(base_folder), dora=True).save(tmp_path)
    with pytest.raises(KgrlError, match="does not fit this learner"):
        LoraLearner(corpus, model=str(base_folder)).load(tmp_path)
    learner = LoraLearner(corpus, model=str(base_folder), dora=True, seed=1)
    learner.load_adapter(tmp_path)  # as an adapter it is read by one of its kind
    assert torch.equal(learner.weights, LoraLearner(corpus, model=str(base_folder), dora=True).weights)


@pytest.mark.parametrize("plugin", ["relora", "orthogonal"])
def test_plugins_that_know_two_matrices_alone_are_refused_with_dora(
    plugin: str, corpus: Corpus, base_folder: Path
) -> None:
    with pytest.raises(SettingError, match=rf"{plugin} does not know the lengths that DoRA trains"):
        LoraLearner(corpus, model=str(base_folder), dora=True, plugins=[make_plugin(plugin)])


def test_a_fully_tuned_model_is_a_plain_folder(corpus: Corpus, base_folder: Path, tmp_path: Path) -> None:
    learner = FullLearner(corpus, model=str(base_folder), learning_rate=1e-3)
    before = learner.losses(corpus.select([0]))
    assert learner.learn(corpus.of(0, Split.TRAIN), 1000).changed > 0.5  # type: ignore[operator]
    after = learner.losses(corpus.select([0]))
    assert after < before
    learner.save(tmp_path)
    assert plain_loss(AutoModelForCausalLM.from_pretrained(tmp_path), learner, 0) == pytest.approx(after[0], rel=1e-5)
    again = FullLearner(corpus, model=str(tmp_path))  # a base model like any other
    np.testing.assert_allclose(again.losses(corpus.select([0])), after, rtol=1e-5)


def test_the_gradient_of_all_weights_is_autograd_s(corpus: Corpus, base_folder: Path) -> None:
    learner = FullLearner(corpus, model=str(base_folder))
    plain = AutoModelForCausalLM.from_pretrained(base_folder)
    ids = torch.from_numpy(learner.tokens[0].astype(np.int64))[None]
    plain(input_ids=ids, labels=ids).loss.backward()
    found = torch.from_numpy(learner.loss_gradient(corpus.select([0])))
    for name, weight in plain.named_parameters():
        torch.testing.assert_close(learner.view(found, name), weight.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", [LoraLearner, FullLearner])
def test_checkpointing_changes_no_bit(kind: Any, corpus: Corpus, base_folder: Path) -> None:
    learners = [kind(corpus, model=str(base_folder), checkpointing=again) for again in (False, True)]
    for learner in learners:
        learner.learn(corpus.of(0, Split.TRAIN), 500)
    assert torch.equal(learners[0].weights, learners[1].weights)
    assert "checkpointing=True" in repr(learners[1])


@pytest.mark.parametrize(("name", "options"), [("scratch", {}), ("lora", {}), ("full", {})])
def test_blocks_that_are_accumulated_give_the_update_of_one_large_block(
    name: str, options: dict[str, Any], corpus: Corpus, base_folder: Path
) -> None:
    if name != "scratch":
        options = {"model": str(base_folder), "learning_rate": 1e-3}
    passages = corpus.of(0, Split.TRAIN)
    total = int(min(600, corpus_tokens(name, corpus, options)))
    large = make_learner(name, corpus, block_tokens=10**6, **options)
    small = make_learner(name, corpus, block_tokens=total // 4, accumulate=4, **options)
    one, other = large.learn(passages, 600), small.learn(passages, 600)
    assert one.tokens == other.tokens and one.loss == pytest.approx(other.loss, rel=1e-5)
    assert vars(large)["steps"] == vars(small)["steps"] == 1
    assert "accumulate=4" in repr(small) and "accumulate" not in repr(large)
    np.testing.assert_allclose(small.losses(passages), large.losses(passages), rtol=1e-4)


def corpus_tokens(name: str, corpus: Corpus, options: dict[str, Any]) -> int:
    return int(make_learner(name, corpus, **options).count_tokens(corpus.of(0, Split.TRAIN)).sum())


def test_updates_of_several_blocks_are_of_like_size(corpus: Corpus) -> None:
    learner = make_learner("scratch:width=16,heads=2,block_tokens=40,accumulate=3", corpus)
    sizes = list[int]()
    rate = learner._rate  # type: ignore[attr-defined]
    vars(learner)["_rate"] = lambda tokens: sizes.append(tokens) or rate(tokens)
    learner.learn(corpus.select(range(12)), 10_000)
    assert len(sizes) > 3 and min(sizes) > max(sizes) / 2


def test_target_modules_fit_on_a_line(corpus: Corpus, base_folder: Path) -> None:
    learner = make_learner("lora:target_modules=q_proj+v_proj,rank=2", corpus, model=str(base_folder))
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in vars(learner)["slices"]} == {"q_proj", "v_proj"}


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("lora:rang=4", SettingError, "unknown option of the learner lora 'rang'; did you mean 'rank'?"),
        ("lora:seed=4", SettingError, "unknown option of the learner lora 'seed'"),
        ("scratch:dora=true", SettingError, "unknown option of the learner scratch 'dora'"),
        ("lora:rank=many", SettingError, "rank=many in 'lora:rank=many'"),
        ("lora:rank=1.5", SettingError, "rank=1.5 in 'lora:rank=1.5'"),
        ("lora:dora=1", SettingError, "dora=1 in 'lora:dora=1'"),
        ("lora:schedule=wds", SettingError, "schedule=wds in 'lora:schedule=wds'"),
        ("lora:rank=0", SettingError, "rank must be above 0, not 0"),
        ("lora:alpha=-1", SettingError, "alpha must be above 0, not -1"),
        ("lora:accumulate=0", SettingError, "accumulate must be at least 1, not 0"),
        ("lora:dtype=float8", UnknownNameError, "unknown number format 'float8'"),
        ("lora:bits=3", SettingError, "weights are held in 8 or 4 bits, not in 3"),
        ("lora:target_modules=lm_head", SettingError, "is the output embedding"),
        ("lora:target_modules=query", UnknownNameError, "unknown target module 'query'"),
        ("lora:target_modules=.*nothing", SettingError, "PEFT puts no adapter on"),
        ("simulated:rank=4", SettingError, "the learner simulated has no options; leave 'rank' out"),
    ],
)
def test_options_and_their_values_are_checked(
    name: str, kind: type[Exception], said: str, corpus: Corpus, base_folder: Path
) -> None:
    options = {"model": str(base_folder)} if name.startswith("lora") else {}
    with pytest.raises(kind, match=re.escape(said)):
        make_learner(name, corpus, **options)


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed")
def test_few_bits_need_a_package_that_the_error_names(corpus: Corpus, base_folder: Path) -> None:
    with pytest.raises(SettingError, match="bits=4 needs the package bitsandbytes"):
        make_learner("lora:bits=4", corpus, model=str(base_folder))


def test_options_of_learners_are_known_without_making_one() -> None:
    lora = learner_options("lora")
    assert lora is not None and {"rank", "alpha", "dora", "rslora", "checkpointing", "bits", "accumulate"} <= set(lora)
    assert not {"corpus", "seed", "plugins"} & set(lora)


def test_names_get_further_options() -> None:
    assert join_options("scratch") == "scratch"
    assert join_options("scratch", device="cuda") == "scratch:device=cuda"
    assert join_options("scratch:width=16", device="cuda", width=8) == "scratch:width=16,device=cuda"
