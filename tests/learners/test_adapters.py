"""Adapter folders: what PEFT reads, what people read, and which base model they are for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import peft
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from kgrl.corpus import Corpus, Split
from kgrl.errors import DataError, KgrlError
from kgrl.learners import LoraLearner, ScratchLearner
from kgrl.learners.adapters.folder import AdapterFacts, check_base, read_adapter, same_base, save_adapter
from kgrl.learners.decoder.lora import write_adapter

FACTS = AdapterFacts("tiny", ("Prime number", "Sum"), tokens=1234, seed=3, losses={"exam": 2.5})


@pytest.fixture(scope="module")
def learner(tiny_corpus: Corpus, base_folder: Path) -> LoraLearner:
    learner = LoraLearner(tiny_corpus, model=str(base_folder), learning_rate=1e-2, rank=4, alpha=12)
    learner.learn(tiny_corpus.of(0, Split.TRAIN), 1000)
    return learner


@pytest.fixture
def folder(learner: LoraLearner, tmp_path: Path) -> Path:
    write_adapter(learner, tmp_path / "adapter", FACTS)
    return tmp_path / "adapter"


def card(folder: Path) -> tuple[dict[str, object], str]:
    """The front matter and the text of a model card."""
    front, text = (folder / "README.md").read_text(encoding="utf-8").removeprefix("---\n").split("\n---\n", 1)
    return yaml.safe_load(front), text


def test_an_adapter_is_read_as_it_was_written(learner: LoraLearner, folder: Path, tmp_path: Path) -> None:
    adapter = read_adapter(folder)
    assert (adapter.name, adapter.base, adapter.facts) == ("adapter", learner.identity["base_model"], FACTS)
    assert (adapter.rank, adapter.scale) == (4, 3.0)
    save_adapter(adapter, tmp_path / "again")
    for name in ("adapter_config.json", "adapter_model.safetensors", "kgrl.json", "README.md"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_deltas_are_what_merging_adds_to_the_base(folder: Path, base_folder: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(base_folder)
    before = {name: weight.clone() for name, weight in base.state_dict().items()}
    after = peft.PeftModel.from_pretrained(base, folder).merge_and_unload().state_dict()
    adapter = read_adapter(folder)
    assert adapter.layers
    for layer in adapter.layers:
        name = layer.removeprefix("base_model.model.") + ".weight"
        torch.testing.assert_close(after[name] - before[name], adapter.delta(layer), rtol=1e-4, atol=1e-6)


def test_the_card_says_what_was_learned_and_how_to_load_it(folder: Path) -> None:
    front, text = card(folder)
    assert front["base_model"] == "tiny-llama"
    assert front["library_name"] == "peft"
    for fact in ("Prime number, Sum", "1,234", "seed: 3", "exam loss: 2.5000", "PeftModel.from_pretrained", "kgrl 0"):
        assert fact in text


def test_many_titles_are_counted_and_not_all_listed(folder: Path) -> None:
    facts = replace(FACTS, titles=tuple(f"topic {i}" for i in range(50)))
    save_adapter(replace(read_adapter(folder), facts=facts), folder)
    _, text = card(folder)
    assert "topics (50)" in text and "topic 19, and 30 more" in text and "topic 20" not in text
    assert len(read_adapter(folder).facts.titles) == 50


@given(st.text())
def test_no_title_is_markup_in_a_card(title: str) -> None:
    from kgrl.learners.adapters.folder import _escaped

    shown = _escaped(title)
    assert "<" not in shown and len(shown.splitlines()) <= 1
    plain = shown.replace("\\\\", "")
    assert all(plain[i - 1] == "\\" for i, character in enumerate(plain) if character in "`*[]|")


def test_a_base_model_named_like_code_stays_a_string(folder: Path) -> None:
    save_adapter(replace(read_adapter(folder), base='x"); evil("\n```\n---\n'), folder)
    _, text = card(folder)
    (line,) = [line for line in text.splitlines() if "evil" in line and "from_pretrained" in line]
    assert r'from_pretrained("x\"); evil(\"\n```\n---\n")' in line


def test_files_name_no_path_of_this_machine(folder: Path, base_folder: Path) -> None:
    for name in ("kgrl.json", "README.md"):
        assert str(base_folder.parent) not in (folder / name).read_text()


def test_its_own_base_model_passes(folder: Path, learner: LoraLearner) -> None:
    check_base(read_adapter(folder), str(learner.identity["base_model"]))
    learner.load_adapter(folder)


def test_another_base_model_is_refused_with_both_names_and_hashes(
    folder: Path, learner: LoraLearner, tiny_corpus: Corpus, tmp_path: Path
) -> None:
    ScratchLearner(tiny_corpus, seed=10, width=32, heads=2, vocabulary=400).save(tmp_path / "other-llama")
    other = LoraLearner(tiny_corpus, model=str(tmp_path / "other-llama"))
    with pytest.raises(KgrlError) as caught:
        other.load_adapter(folder)
    for base in (learner.identity["base_model"], other.identity["base_model"]):
        assert str(base) in str(caught.value)


def test_a_folder_made_by_others_is_checked_by_name(folder: Path) -> None:
    (folder / "kgrl.json").unlink()
    check_base(read_adapter(folder), "tiny-llama@0123")
    with pytest.raises(KgrlError, match=r"tiny-llama.*smollm2@0123"):
        check_base(read_adapter(folder), "smollm2@0123")
    adapter = read_adapter(folder)
    assert (adapter.facts, adapter.base) == (AdapterFacts(), "tiny-llama"), "without the path of this machine"


@pytest.mark.parametrize("missing", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_folder_without_an_adapter_is_named(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(KgrlError, match=missing):
        read_adapter(folder)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors", "kgrl.json"])
def test_a_file_that_was_cut_off_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:40])
    with pytest.raises(DataError, match=name):
        read_adapter(folder)


@pytest.mark.parametrize("rank", [0, "eight", None])
def test_a_senseless_rank_is_refused(folder: Path, rank: object) -> None:
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "r": rank}))
    with pytest.raises(DataError, match=r"adapter_config.json: r must be"):
        read_adapter(folder)


def test_facts_of_a_later_version_are_passed_over(folder: Path) -> None:
    record = json.loads((folder / "kgrl.json").read_text())
    (folder / "kgrl.json").write_text(json.dumps({**record, "colour": "blue"}))
    assert read_adapter(folder).facts == FACTS


def test_names_alone_decide_where_a_hash_is_missing() -> None:
    assert same_base("models/tiny-llama", "tiny-llama@12") and not same_base("tiny-llama", "small-llama@12")
