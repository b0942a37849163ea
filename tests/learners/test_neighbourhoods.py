"""Neighbourhood adapters: what each is trained on, and that a training can be interrupted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from transformers import AutoModelForCausalLM

from kgrl.corpus import Corpus, Split
from kgrl.errors import KgrlError, SettingError
from kgrl.graph.topic_graph import IntArray
from kgrl.learners import LoraLearner, ScratchLearner
from kgrl.learners.adapters.folder import read_adapter
from kgrl.learners.neighbourhoods.training import NeighbourhoodTask, train_neighbourhood, train_neighbourhoods

TOKENS = 300


@pytest.fixture(scope="session")
def base_model(tiny_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has read a little: on random weights an adapter learns nothing that holds for other passages."""
    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    learner = ScratchLearner(tiny_corpus, seed=9, width=32, heads=2, vocabulary=400)
    learner.learn(tiny_corpus.select(np.flatnonzero(tiny_corpus.splits == Split.TRAIN)), 4_000)
    learner.save(folder)
    return folder


@pytest.fixture
def options(base_model: Path) -> dict[str, Any]:
    return {"model": str(base_model), "learning_rate": 1e-2, "rank": 4}


@pytest.fixture(scope="session")
def partition(tiny_corpus: Corpus) -> IntArray:
    names = tiny_corpus.graph.category_names
    return np.array([names.index(category) for category in tiny_corpus.graph.categories], dtype=np.int32)


def weights(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in folder.glob("adapters/*/adapter_model.safetensors")}


def train(corpus: Corpus, partition: IntArray, folder: Path, options: dict[str, Any], **other: Any) -> Any:
    settings = {"tokens": TOKENS, "seed": 3, "executor": "serial", **other}
    return train_neighbourhoods(corpus, partition, folder, options=options, **settings)


def test_each_adapter_is_trained_on_its_communitys_train_passages(
    tiny_corpus: Corpus, partition: IntArray, tmp_path: Path, options: dict[str, Any], base_model: Path
) -> None:
    results = train(tiny_corpus, partition, tmp_path, options)
    assert [result.name for result in results] == ["neighbourhood-0", "neighbourhood-1", "neighbourhood-2"]
    assert all(0 < result.tokens <= TOKENS and result.loss > 0 for result in results)
    assert len(set(weights(tmp_path).values())) == 3
    learner = LoraLearner(tiny_corpus, seed=3, **options)
    for result in results:
        folder = tmp_path / "adapters" / result.name
        learner.load_adapter(folder)
        facts = read_adapter(folder).facts
        assert facts.tokens == result.tokens and facts.corpus == "tiny" and facts.titles
        assert {partition[tiny_corpus.graph.index(title)] for title in facts.titles} == {result.community}
        record = json.loads((folder / "neighbourhood.json").read_text())
        assert record["result"]["tokens"] == result.tokens and record["settings"]["seed"] == 3
        assert str(base_model.parent) not in (folder / "neighbourhood.json").read_text()
        peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base_model), folder)


def test_an_adapter_helps_its_own_community(
    tiny_corpus: Corpus, partition: IntArray, tmp_path: Path, options: dict[str, Any]
) -> None:
    train(tiny_corpus, np.where(partition == 1, 0, -1), tmp_path, options, tokens=3_000)
    learner = LoraLearner(tiny_corpus, seed=3, **options)
    probes = tiny_corpus.select(np.flatnonzero(tiny_corpus.splits == Split.PROBE))
    own, before = partition[probes.topics] == 1, learner.losses(probes)
    learner.load_adapter(tmp_path / "adapters" / "neighbourhood-0")
    drops = before - learner.losses(probes)
    assert drops[own].mean() > 0.01 and drops[own].mean() > drops[~own].mean() + 0.01


def test_processes_give_the_same_bits_as_serial_training(
    tiny_corpus: Corpus, partition: IntArray, tmp_path: Path, options: dict[str, Any]
) -> None:
    both = np.where(partition < 2, partition, -1)
    one = train(tiny_corpus, both, tmp_path / "serial", options)
    two = train(tiny_corpus, both, tmp_path / "process", options, executor="process", workers=2)
    assert [(r.name, r.tokens, r.loss) for r in one] == [(r.name, r.tokens, r.loss) for r in two]
    assert weights(tmp_path / "serial") == weights(tmp_path / "process")


def test_finished_adapters_are_not_trained_again(
    tiny_corpus: Corpus, partition: IntArray, tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    learn, lessons = LoraLearner.learn, []

    def interrupted(self: LoraLearner, *args: Any) -> Any:
        lessons.append(args)
        if len(lessons) == 3:
            raise KeyboardInterrupt
        return learn(self, *args)

    monkeypatch.setattr(LoraLearner, "learn", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_corpus, partition, tmp_path / "a", options)
    assert sorted(path.name for path in (tmp_path / "a" / "adapters").iterdir()) == [
        "neighbourhood-0",
        "neighbourhood-1",
    ]
    resumed = train(tiny_corpus, partition, tmp_path / "a", options)
    assert len(lessons) == 4
    undisturbed = train(tiny_corpus, partition, tmp_path / "b", options)
    assert [(r.name, r.tokens, r.loss) for r in resumed] == [(r.name, r.tokens, r.loss) for r in undisturbed]
    assert weights(tmp_path / "a") == weights(tmp_path / "b")


def task_in(folder: Path, options: dict[str, Any], **other: Any) -> NeighbourhoodTask:
    settings = {"community": 0, "passages": (0, 1), "tokens": 40, "seed": 0, "folder": str(folder)}
    return NeighbourhoodTask(**{**settings, **other}, options={"dtype": "float32", **options})


@pytest.mark.parametrize(
    ("name", "other"), [("tokens", {"tokens": 41}), ("seed", {"seed": 1}), ("passages", {"passages": (1, 0)})]
)
def test_an_adapter_with_other_settings_is_not_overwritten(
    tiny_corpus: Corpus, tmp_path: Path, options: dict[str, Any], name: str, other: dict[str, Any]
) -> None:
    train_neighbourhood(tiny_corpus, task_in(tmp_path, options))
    with pytest.raises(KgrlError, match=f"neighbourhood-0 was trained with another '{name}'"):
        train_neighbourhood(tiny_corpus, task_in(tmp_path, options, **other))


def test_an_adapter_for_another_model_of_the_same_name_is_not_taken_for_finished(
    tiny_corpus: Corpus, tmp_path: Path, options: dict[str, Any]
) -> None:
    train_neighbourhood(tiny_corpus, task_in(tmp_path, options))
    other = tmp_path / "tiny-llama"
    ScratchLearner(tiny_corpus, seed=10, width=32, heads=2, vocabulary=400).save(other)
    with pytest.raises(KgrlError, match="another 'options'"):
        train_neighbourhood(tiny_corpus, task_in(tmp_path, {**options, "model": str(other)}))


def test_a_folder_made_by_others_is_not_overwritten(
    tiny_corpus: Corpus, partition: IntArray, tmp_path: Path, options: dict[str, Any]
) -> None:
    (tmp_path / "adapters" / "neighbourhood-1").mkdir(parents=True)
    with pytest.raises(KgrlError, match=r"neighbourhood-1 exists and was not trained here"):
        train(tiny_corpus, partition, tmp_path, options)
    assert not weights(tmp_path)


def test_adapters_added_later_have_the_number_format_of_the_first(
    tiny_corpus: Corpus, partition: IntArray, tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kgrl.system.tensors.best_dtype", lambda device: torch.bfloat16)
    first = np.where(partition == 0, 0, -1).astype(np.int32)
    train(tiny_corpus, first, tmp_path, options)
    monkeypatch.setattr("kgrl.system.tensors.best_dtype", lambda device: torch.float32)
    train(tiny_corpus, np.where(partition == 2, 1, first).astype(np.int32), tmp_path, options)
    records = [json.loads(path.read_text()) for path in tmp_path.glob("adapters/*/neighbourhood.json")]
    assert [record["settings"]["options"]["dtype"] for record in records] == ["bfloat16", "bfloat16"]


@pytest.mark.parametrize(
    ("labels", "tokens", "message"),
    [([0, 1], 50, "has as many numbers"), ([0] * 39 + [2], 50, "community 1 "), ([0] * 40, 1, "at least 2 tokens")],
)
def test_settings_that_do_not_fit_are_refused(
    tiny_corpus: Corpus, tmp_path: Path, labels: list[int], tokens: int, message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        train(tiny_corpus, np.array(labels, dtype=np.int32), tmp_path, {}, tokens=tokens)


def test_a_diverging_training_names_the_neighbourhood(
    tiny_corpus: Corpus, partition: IntArray, tmp_path: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(KgrlError, match=r"^neighbourhood-0: .*loss"):
        train(tiny_corpus, partition, tmp_path, {**options, "learning_rate": float("inf")})
