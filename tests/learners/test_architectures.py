"""Architectures of transformers: kgrl's losses and gradients are transformers' own, packed or one passage at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from kgrl.corpus import Corpus
from kgrl.errors import KgrlError, SettingError
from kgrl.learners import LoraLearner
from kgrl.learners.decoder.pretrained import PretrainedDecoder
from tests.support.architectures import FAMILIES, compare, save_tiny

ALONE = {"BLOOM", "Falcon", "GPT-OSS", "Jamba", "LFM2", "MPT", "Mamba", "Mamba 2", "Qwen3-Next", "RWKV"}
"""Families with recurrent state or convolutions, or whose attention cannot keep passages apart."""


@pytest.mark.parametrize("family", FAMILIES)
def test_losses_and_gradients_are_those_of_plain_transformers(
    family: str, tiny_corpus: Corpus, base_folder: Path, tmp_path: Path
) -> None:
    found = compare(family, tiny_corpus, base_folder, tmp_path)
    assert found.reading == ("one at a time" if family in ALONE else "packed"), found.why
    assert found.loss < 1e-5 and found.gradient < 1e-5


def test_logits_that_follow_otherwise_are_refused_by_name(base_folder: Path) -> None:
    class Squared(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).square()

    model = AutoModelForCausalLM.from_pretrained(base_folder)
    odd = Squared(model.lm_head.in_features, model.lm_head.out_features, bias=False)
    odd.weight = model.lm_head.weight
    model.lm_head = odd
    with pytest.raises(KgrlError, match=r"type 'llama' cannot be taught: its logits are not its output embedding"):
        PretrainedDecoder(model)


def test_a_layer_that_peft_refuses_is_no_traceback(tiny_corpus: Corpus, base_folder: Path, tmp_path: Path) -> None:
    save_tiny("Mamba", base_folder, tmp_path)
    with pytest.raises(SettingError, match=r"PEFT puts no adapter on \['out_proj'\].*incompatible"):
        LoraLearner(tiny_corpus, model=str(tmp_path), target_modules=["out_proj"])


def test_tokens_without_an_embedding_are_refused(tiny_corpus: Corpus, base_folder: Path, tmp_path: Path) -> None:
    AutoModelForCausalLM.from_config(
        AutoConfig.for_model("gpt2", vocab_size=300, n_embd=16, n_layer=1, n_head=2)
    ).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(base_folder).save_pretrained(tmp_path)
    with pytest.raises(KgrlError, match=r"has 400 tokens, and the model embeddings for 300: enlarge"):
        LoraLearner(tiny_corpus, model=str(tmp_path))


def test_a_folder_without_a_tokenizer_is_refused_by_its_name(
    tiny_corpus: Corpus, base_folder: Path, tmp_path: Path
) -> None:
    AutoModelForCausalLM.from_pretrained(base_folder).save_pretrained(tmp_path)
    with pytest.raises(KgrlError, match=rf"{tmp_path.name} holds no tokenizer that transformers can load"):
        LoraLearner(tiny_corpus, model=str(tmp_path))


def test_an_adapter_is_no_model(tiny_corpus: Corpus, base_folder: Path, tmp_path: Path) -> None:
    LoraLearner(tiny_corpus, model=str(base_folder)).save(tmp_path)
    with pytest.raises(KgrlError, match=rf"{tmp_path.name} holds an adapter, not a model"):
        LoraLearner(tiny_corpus, model=str(tmp_path))
