"""A plain Trainer of transformers on text that an agent chooses, interrupted and resumed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments
from transformers.trainer_utils import set_seed

from kgrl.corpus import Corpus, Split
from kgrl.errors import DataError, DivergedError, SettingError
from kgrl.integrations import CurriculumCallback, CurriculumDataset
from kgrl.retrieval import FaissRetriever
from kgrl.retrieval.corpus_index import indexed_passages

AGENTS = ["alp", "closure", "exp3s", "random", "tscl"]


def words(text: str, truncation: bool, max_length: int) -> dict[str, list[int]]:
    """A tokenizer with a token for each word."""
    return {"input_ids": [1 + sum(word.encode()) % 60 for word in text.split()][:max_length]}


def collate(examples: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    longest = max(len(example["input_ids"]) for example in examples)
    rows = [example["input_ids"] + [0] * (longest - len(example["input_ids"])) for example in examples]
    ids = torch.tensor(rows)
    return {"input_ids": ids, "labels": torch.where(ids == 0, -100, ids), "attention_mask": (ids > 0).long()}


@pytest.fixture
def make(tiny_corpus: Corpus, fake_embeddings: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes data sets on `tiny_corpus` with made-up embeddings."""
    ids = indexed_passages(tiny_corpus)
    parts = FaissRetriever(ids, fake_embeddings[tiny_corpus.topics[ids]]), fake_embeddings
    monkeypatch.setattr("kgrl.integrations.curriculum_dataset.embed_corpus", lambda corpus, encoder: parts)

    def made(agent: str = "exp3s", **options: Any) -> CurriculumDataset:
        return CurriculumDataset(tiny_corpus, words, agent, **{"length": 24, "neighbourhood": 3, **options})

    return made


def trainer_on(data: CurriculumDataset, folder: Path, **options: Any) -> Trainer:
    set_seed(3)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=64, attention_dropout=0.1, **shape))
    arguments: dict[str, Any] = {
        "max_steps": 12,
        "per_device_train_batch_size": 2,
        "logging_steps": 2,
        "save_steps": 3,
        "learning_rate": 1e-2,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        **options,
    }
    return Trainer(
        model,
        TrainingArguments(str(folder), **arguments),
        collate,
        train_dataset=data,
        callbacks=[CurriculumCallback(data)],
    )


def weights(trainer: Trainer) -> list[torch.Tensor]:
    return [weight.detach().clone() for weight in trainer.model.parameters()]


@pytest.mark.parametrize("agent", ["exp3s", "closure"])
@pytest.mark.parametrize("options", [{}, {"gradient_accumulation_steps": 2, "logging_first_step": True}])
def test_a_resumed_training_is_the_same_bit_for_bit(
    make: Any, tmp_path: Path, agent: str, options: dict[str, Any]
) -> None:
    """Checkpoints after steps 3, 6 and 9: in the middle of a lesson of two steps, and at its end."""
    whole = make(agent)
    trainer = trainer_on(whole, tmp_path, **options)
    trainer.train()
    assert len(whole.losses) == 6 and len(whole.picked) in (6, 7)
    for step in (3, 6):
        resumed = make(agent)
        again = trainer_on(resumed, tmp_path / "again", **options)
        again.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{step}"))
        assert resumed.state_dict() == whole.state_dict()
        assert all(torch.equal(a, b) for a, b in zip(weights(again), weights(trainer), strict=True))


def test_it_trains_on_what_was_chosen_and_hears_the_logged_losses(make: Any, tmp_path: Path) -> None:
    data = make()
    trainer = trainer_on(data, tmp_path, save_strategy="no")
    trainer.train()
    logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert data.losses == logged
    again = make()
    trainer_on(again, tmp_path, save_strategy="no").train()
    assert again.state_dict() == data.state_dict()  # the same seed, the same training


def test_training_once_more_starts_over(make: Any, tmp_path: Path) -> None:
    data = make("random")
    trainer = trainer_on(data, tmp_path, save_strategy="no", max_steps=4)
    trainer.train()
    first = data.picked
    trainer.train()
    assert data.picked == first and len(data.losses) == 2


def examples(data: CurriculumDataset, losses: list[float], most: int) -> Iterator[tuple[int, ...]]:
    """The examples that a trainer of 2 steps a lesson and 2 examples a step gets, which fetches one batch ahead."""
    ahead = 2 * len(data.losses) * 2
    for number, example in enumerate(islice(data, most)):
        yield tuple(example["input_ids"])
        if number >= ahead + 5 and (number - 1) % 4 == 0 and losses:
            data.observe(losses.pop(0), 2)


@pytest.mark.parametrize("agent", AGENTS)
@settings(max_examples=8, deadline=None, suppress_health_check=["function_scoped_fixture"])  # type: ignore[list-item]
@given(losses=st.lists(st.floats(0, 9, allow_nan=False), min_size=6, max_size=6), at=st.integers(1, 20))
def test_any_state_resumes_through_json(make: Any, agent: str, losses: list[float], at: int) -> None:
    whole = make(agent)
    whole.begin(2, 2)
    seen = list(examples(whole, list(losses), 24))
    part = make(agent)
    part.begin(2, 2)
    assert list(examples(part, list(losses), at)) == seen[:at]
    resumed = make(agent)
    resumed.load_state_dict(json.loads(json.dumps(part.state_dict())))
    assert resumed.state_dict() == part.state_dict()
    assert list(examples(resumed, losses[len(resumed.losses) :], 24)) == seen
    assert resumed.state_dict() == whole.state_dict()


def test_the_nucleus_comes_first_and_every_passage_is_read_before_most_are_read_again(
    make: Any, tiny_corpus: Corpus
) -> None:
    data = make("random")
    data.begin(1, 4)
    train = np.flatnonzero(tiny_corpus.splits == Split.TRAIN)
    for loss in range(len(train)):
        data.observe(float(loss), 1)
    texts = [" ".join(map(str, example["input_ids"])) for example in islice(data, 2 * len(train))]
    of = {" ".join(map(str, words(tiny_corpus.texts[i], True, 24)["input_ids"])): i for i in train.tolist()}
    read = [of[text] for text in texts]  # nothing but train passages
    assert tiny_corpus.topics[read[0]] == tiny_corpus.graph.index(data.picked[0][0])
    assert len(set(read[:40])) == 40
    assert len(set(read)) > 0.9 * len(train)


def test_all_begins_anew_when_nothing_is_left(make: Any) -> None:
    data = make("bfs")
    data.begin(1, 50)
    for _ in range(30):
        data.observe(1.0, 1)
    list(islice(data, 1_000))
    assert sum(data.picked[0][0] in lesson for lesson in data.picked) > 1


def test_what_does_not_suit_is_named(make: Any, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="'greedy-loss' cannot choose here"):
        make("greedy-loss")
    data = make()
    assert len(next(iter(data))["input_ids"]) > 0  # a look before the trainer begins
    with pytest.raises(SettingError, match="no trainer has begun"):
        list(data)
    with pytest.raises(SettingError, match="logging_strategy='steps'"):
        trainer_on(data, tmp_path, logging_strategy="no").train()
    with pytest.raises(SettingError, match="dataloader_num_workers=0"):
        trainer_on(data, tmp_path, dataloader_num_workers=1).train()
    data.begin(1, 2)
    with pytest.raises(SettingError, match="loss of lesson 0 is needed to choose lesson 2"):
        list(islice(data, 5))
    with pytest.raises(DivergedError, match="lesson 0 is nan"):
        data.observe(float("nan"), 1)
    with pytest.raises(SettingError, match="restore_callback_states_from_checkpoint=False"):
        CurriculumCallback()


def test_checkpoints_of_others_are_refused(make: Any, tmp_path: Path) -> None:
    data = make()
    trainer_on(data, tmp_path, max_steps=3).train()
    kept = str(tmp_path / "checkpoint-3")
    with pytest.raises(DataError, match="seed is 0, not 1"):
        trainer_on(make(seed=1), tmp_path).train(resume_from_checkpoint=kept)
    with pytest.raises(SettingError, match="2 examples a step"):
        trainer_on(make(), tmp_path, gradient_accumulation_steps=2).train(resume_from_checkpoint=kept)
    with pytest.raises(SettingError, match="ignore_data_skip=False"):
        trainer_on(make(), tmp_path, ignore_data_skip=True).train(resume_from_checkpoint=kept)
    state = data.state_dict()
    with pytest.raises(DataError, match="other topics for lesson 1"):
        make().load_state_dict({**state, "topics": [state["topics"][0], [39]]})
