"""The learner on Accelerate in one process: the lessons of the learners `full` and `lora`, and its files."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from transformers import AutoModelForCausalLM

from kgrl.corpus import Corpus, Split
from kgrl.data import load_corpus
from kgrl.data.invented import fact_questions, world_of
from kgrl.errors import DivergedError, KgrlError, SettingError
from kgrl.learners import AccelerateLearner, FullLearner, LoraLearner, leading, make_learner
from kgrl.learners.accelerated.processes import launched_processes, refuse_launched, team
from kgrl.learners.adapters.folder import AdapterFacts, read_adapter
from kgrl.learners.plugins import make_plugin
from kgrl.probes import Recall
from kgrl.testing import LearnerContract


@pytest.fixture
def corpus(tiny_corpus: Corpus) -> Corpus:
    return tiny_corpus


def made(corpus: Corpus, base: Path, rank: int | None = None, **options: Any) -> AccelerateLearner:
    rate = 1e-3 if rank is None else 1e-2
    return AccelerateLearner(corpus, model=str(base), rank=rank, **{"learning_rate": rate, **options})


class TestAllWeights(LearnerContract):
    @pytest.fixture
    def learner(self, corpus: Corpus, base_folder: Path) -> AccelerateLearner:
        return made(corpus, base_folder)


class TestAdapter(LearnerContract):
    @pytest.fixture
    def learner(self, corpus: Corpus, base_folder: Path) -> AccelerateLearner:
        return made(corpus, base_folder, rank=4)


@pytest.mark.parametrize("rank", [None, 4])
@pytest.mark.parametrize("context", [512, 20])
def test_padded_lessons_are_the_packed_ones(rank: int | None, context: int, corpus: Corpus, base_folder: Path) -> None:
    kind: Any = FullLearner if rank is None else LoraLearner
    options: dict[str, Any] = {"learning_rate": 1e-3} if rank is None else {"rank": rank, "dtype": "float32"}
    packed, padded = (
        kind(corpus, model=str(base_folder), **options),
        make_learner("accelerate", corpus, model=str(base_folder), rank=rank, **({} if rank else options)),
    )
    packed._context = padded._context = context  # type: ignore[attr-defined]
    passages, others = corpus.select(np.arange(12)), corpus.of(20, Split.PROBE)
    np.testing.assert_allclose(padded.losses(passages), packed.losses(passages), rtol=1e-5)
    for budget in (900, 301):
        one, other = padded.learn(passages, budget), packed.learn(passages, budget)
        assert (one.tokens, one.chunked, one.passages) == (other.tokens, other.chunked, other.passages)
        assert one.loss == pytest.approx(other.loss, rel=1e-5)
        np.testing.assert_allclose(one.losses, other.losses, rtol=1e-5)
    np.testing.assert_allclose(padded.losses(others), packed.losses(others), rtol=1e-4)


def test_a_saved_learner_is_a_model_folder(corpus: Corpus, base_folder: Path, tmp_path: Path) -> None:
    learner = made(corpus, base_folder)
    learner.learn(corpus.of(0, Split.TRAIN), 500)
    learner.save(tmp_path)
    passages = corpus.of(0, Split.PROBE)
    loaded = FullLearner(corpus, model=str(tmp_path))
    np.testing.assert_allclose(loaded.losses(passages), learner.losses(passages), rtol=1e-5)


def test_peft_loads_the_adapter(corpus: Corpus, base_folder: Path, tmp_path: Path) -> None:
    learner = made(corpus, base_folder, rank=4)
    learner.learn(corpus.of(0, Split.TRAIN), 500)
    learner.write_adapter(tmp_path, AdapterFacts(titles=("Number",)))
    model = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base_folder), tmp_path)
    ids = torch.from_numpy(learner.tokens[0].astype(np.int64))[None]
    with torch.no_grad():
        loss = float(model(input_ids=ids, labels=ids).loss)
    assert loss == pytest.approx(float(learner.losses(corpus.select([0]))[0]), rel=1e-5)
    adapter = read_adapter(tmp_path)
    assert adapter.rank == 4 and "Number" in (tmp_path / "README.md").read_text()
    with pytest.raises(SettingError, match="there is no adapter"):
        made(corpus, base_folder).write_adapter(tmp_path, AdapterFacts())


def test_states_of_other_learners_are_refused(corpus: Corpus, base_folder: Path, tmp_path: Path) -> None:
    made(corpus, base_folder, rank=4).save(tmp_path / "adapter")
    FullLearner(corpus, model=str(base_folder)).save(tmp_path / "full")
    for folder in ("adapter", "full"):
        with pytest.raises(KgrlError, match="does not fit this learner"):
            made(corpus, base_folder).load(tmp_path / folder)


def test_a_loss_that_is_not_finite_changes_no_weight(corpus: Corpus, base_folder: Path) -> None:
    learner = made(corpus, base_folder, rank=4)
    state = learner._engine.gather()
    weight = learner._model.get_output_embeddings().weight  # type: ignore[no-untyped-call]
    kept = weight.data.clone()
    weight.data.fill_(torch.nan)
    with pytest.raises(DivergedError, match="training loss became nan"):
        learner.learn(corpus.select([3]), 100)
    with pytest.raises(DivergedError, match="passage 3"):
        learner.losses(corpus.select([3]))
    weight.data.copy_(kept)
    assert all(torch.equal(tensor, state[name]) for name, tensor in learner._engine.gather().items())


def test_copies_are_dropped_with_their_snapshots(corpus: Corpus, base_folder: Path) -> None:
    learner = made(corpus, base_folder, rank=4)
    first = learner.snapshot()
    for _ in range(3):
        learner.snapshot()
        gc.collect()
    assert learner._engine._kept.keys() == {first.number, 3}


def test_it_can_be_asked(base_folder: Path) -> None:
    corpus = load_corpus("invented:300")
    recall = Recall(corpus, fact_questions(world_of(corpus.name), 8))
    answers = [
        recall.answers(learner) for learner in (made(corpus, base_folder), FullLearner(corpus, model=str(base_folder)))
    ]
    assert np.array_equal(*answers)


def test_numbers_and_plug_ins_are_checked(corpus: Corpus, base_folder: Path) -> None:
    for options, message in (
        ({"learning_rate": -1.0}, "learning_rate must be above 0"),
        ({"block_tokens": 0}, "block_tokens must be above 0"),
        ({"rank": 0}, "rank"),
        ({"plugins": [make_plugin("replay")]}, "takes no plug-ins"),
    ):
        with pytest.raises(SettingError, match=message):
            AccelerateLearner(corpus, model=str(base_folder), **options)  # type: ignore[arg-type]
    with pytest.raises(KgrlError, match="block_tokens"):  # the nearest name
        make_learner("accelerate:block_token=1", corpus)


@pytest.fixture
def second_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of a launcher."""
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("second_of_two")
def test_other_processes_make_no_learner(corpus: Corpus, base_folder: Path) -> None:
    assert launched_processes() == (1, 2)
    with pytest.raises(SettingError, match="process 1 of 2"):
        made(corpus, base_folder)
    with pytest.raises(SettingError, match="computes in one process, and 2 were launched"):
        refuse_launched("lora")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("WORLD_SIZE", "2", "2 processes were launched for devices that are not there; torch finds"),
        ("ACCELERATE_USE_FSDP", "true", "FSDP is configured"),
    ],
)
def test_what_accelerate_would_ignore_is_named(
    name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    team()  # Accelerate looks at its variables once in a process
    for variable in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(variable, "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingError, match=message):
        team.__wrapped__()


def test_without_a_launcher_there_is_process_0_alone() -> None:
    done = []
    with leading():
        done.append(launched_processes())
    assert done == [(0, 1)]
