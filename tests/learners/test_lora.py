"""The LoRA learner, on a tiny model with random weights."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from kgrl.corpus import Corpus, Split
from kgrl.errors import KgrlError, SettingError, UnknownNameError
from kgrl.learners import LoraLearner, ScratchLearner
from kgrl.learners.decoder.layers import fuse
from kgrl.learners.decoder.token_store import document_token
from kgrl.learners.plugins import Replay
from kgrl.testing import LearnerContract


@pytest.fixture
def corpus(tiny_corpus: Corpus) -> Corpus:
    return tiny_corpus


@pytest.fixture
def learner(corpus: Corpus, base_folder: Path) -> LoraLearner:
    return LoraLearner(corpus, model=str(base_folder), learning_rate=1e-2)


class TestLora(LearnerContract):
    pass


def test_only_the_adapter_learns(learner: LoraLearner, corpus: Corpus) -> None:
    before = {name: weight.clone() for name, weight in learner.model.named_parameters()}
    learner.learn(corpus.of(0, Split.TRAIN), 1000)
    changed = {n for n, weight in learner.model.named_parameters() if not torch.equal(before[n], weight)}
    assert changed == {name for name in before if "lora_" in name}


def test_the_seed_changes_the_adapter_and_not_the_untaught_losses(corpus: Corpus, base_folder: Path) -> None:
    passages = corpus.of(1, Split.PROBE)
    one, two = (LoraLearner(corpus, model=str(base_folder), seed=seed) for seed in (1, 2))
    assert np.array_equal(one.losses(passages), two.losses(passages))
    assert not torch.equal(one.copy().weights, two.copy().weights)


def test_a_saved_adapter_is_a_plain_peft_folder(
    learner: LoraLearner, corpus: Corpus, base_folder: Path, tmp_path: Path
) -> None:
    learner.learn(corpus.of(0, Split.TRAIN), 1000)
    learner.save(tmp_path)
    loaded = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base_folder), tmp_path)
    ids = torch.from_numpy(learner.tokens[0].astype(np.int64))[None]
    with torch.no_grad():
        loss = loaded(input_ids=ids, labels=ids).loss.item()
    assert loss == pytest.approx(float(learner.losses(corpus.select([0]))[0]), rel=1e-5)


def test_an_adapter_of_another_base_model_is_refused(
    learner: LoraLearner, corpus: Corpus, base_folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other-llama"
    ScratchLearner(corpus, seed=10, width=32, heads=2, vocabulary=400).save(other)
    LoraLearner(corpus, model=str(other)).save(tmp_path / "adapter")
    with pytest.raises(KgrlError, match=r"other-llama.*tiny-llama"):
        learner.load(tmp_path / "adapter")


def test_an_adapter_of_other_layers_is_refused(
    learner: LoraLearner, corpus: Corpus, base_folder: Path, tmp_path: Path
) -> None:
    LoraLearner(corpus, model=str(base_folder), target_modules=["q_proj"]).save(tmp_path)
    with pytest.raises(KgrlError, match="other layers"):
        learner.load(tmp_path)


def test_saved_files_name_no_path_of_this_machine(learner: LoraLearner, base_folder: Path, tmp_path: Path) -> None:
    learner.save(tmp_path)
    assert json.loads((tmp_path / "learner.json").read_text())["base_model"].startswith("tiny-llama@")


def test_a_missing_target_module_names_those_there_are(corpus: Corpus, base_folder: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"'query'.*q_proj"):
        LoraLearner(corpus, model=str(base_folder), target_modules=["query"])


@pytest.mark.parametrize("target_modules", [["q_proj", "lm_head"], ["lm_head"], ".*(q_proj|lm_head)"])
def test_the_output_embedding_gets_no_adapter(
    corpus: Corpus, base_folder: Path, target_modules: str | list[str]
) -> None:
    with pytest.raises(SettingError, match=r"'lm_head' is the output embedding.*leave it out"):
        LoraLearner(corpus, model=str(base_folder), target_modules=target_modules)


def test_its_repr_is_the_expression_that_makes_it(corpus: Corpus, base_folder: Path) -> None:
    learner = LoraLearner(corpus, model=str(base_folder), rank=4, seed=1, plugins=[Replay(0.2)])
    plugins = "plugins=[Replay(share=0.2, sampling='uniform', seed=0)]"
    assert repr(learner) == f"LoraLearner(model={str(base_folder)!r}, rank=4, alpha=16, seed=1, {plugins})"


def test_an_unknown_model_suggests_the_nearest(corpus: Corpus) -> None:
    with pytest.raises(UnknownNameError, match=re.escape("unknown model 'smolm2'; did you mean 'smollm2'?")):
        LoraLearner(corpus, model="smolm2")


def test_other_architectures_work(corpus: Corpus, base_folder: Path, tmp_path: Path) -> None:
    config = GPT2Config(vocab_size=400, n_positions=128, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((base_folder / name).read_bytes())
    learner = LoraLearner(corpus, model=str(tmp_path), learning_rate=1e-2)
    passages = corpus.of(0, Split.TRAIN)
    before = learner.losses(passages).mean()
    learner.learn(passages, 1000)
    assert learner.losses(passages).mean() < before


def test_fused_layers_compute_what_peft_computes() -> None:
    """Outputs, and gradients into inputs and adapter, with a bias and a scale that is not 1."""
    torch.manual_seed(0)
    config = peft.LoraConfig(r=2, lora_alpha=6, target_modules=["0"], init_lora_weights=False)
    model = peft.get_peft_model(torch.nn.Sequential(torch.nn.Linear(5, 7)), config)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    x, direction = torch.randn(2, 3, 5, requires_grad=True), torch.randn(2, 3, 7)
    plain = model(x)
    expected = plain, *torch.autograd.grad((plain * direction).sum(), [x, *trained])
    fuse(model)
    fused = model(x)
    torch.testing.assert_close((fused, *torch.autograd.grad((fused * direction).sum(), [x, *trained])), expected)


@pytest.mark.parametrize(
    ("vocabulary", "expected"),
    [({"<|endoftext|>": 0, "<|im_start|>": 1, "<|im_end|>": 2}, 0), ({"<|im_start|>": 1, "<|im_end|>": 2}, 1)],
)
def test_a_passage_is_led_by_what_led_documents_in_pretraining(vocabulary: dict[str, int], expected: int) -> None:
    tokens = Tokenizer(models.WordLevel(vocabulary, unk_token="<|im_end|>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokens, bos_token="<|im_start|>", eos_token="<|im_end|>")
    assert document_token(tokenizer) == expected


def test_a_tokenizer_without_any_such_token_is_refused() -> None:
    with pytest.raises(KgrlError, match="endoftext"):
        document_token(PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))))
