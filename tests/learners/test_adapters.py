"""Adapter folders: PEFT's files, the model card and its code, the base model, and adapters that are not plain LoRA."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, MixtralConfig, MixtralForCausalLM

from kgrl.corpus import Corpus, Split
from kgrl.errors import DataError, KgrlError, SettingError
from kgrl.learners import LoraLearner, ScratchLearner
from kgrl.learners.adapters.composition import compose
from kgrl.learners.adapters.folder import Adapter, AdapterFacts, check_base, read_adapter, same_base, save_adapter
from kgrl.learners.decoder.lora import write_adapter
from kgrl.learners.decoder.models import Origin

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


def code(folder: Path) -> str:
    """The code block of a model card."""
    return card(folder)[1].partition("```python\n")[2].partition("\n```")[0]


def test_an_adapter_is_read_as_it_was_written(learner: LoraLearner, folder: Path, tmp_path: Path) -> None:
    adapter = read_adapter(folder)
    assert (adapter.name, adapter.base, adapter.facts) == ("adapter", learner.identity["base_model"], FACTS)
    assert (adapter.rank, adapter.scale) == (4, 3.0)
    assert adapter.origin == Origin(dtype=str(learner.model.dtype).partition(".")[2], passage_start="<|document|>")
    assert repr(adapter) == f"Adapter('adapter', base={adapter.base!r}, rank=4, tensors=28)"
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_cards_code_measures_what_the_learner_measures(
    dtype: torch.dtype, tiny_corpus: Corpus, base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the path of the base model's folder in the place of its name, as the card asks for."""
    learner = LoraLearner(tiny_corpus, model=str(base_folder), dtype=dtype, learning_rate=1e-2)
    learner.learn(tiny_corpus.of(0, Split.TRAIN), 1000)
    write_adapter(learner, tmp_path, FACTS)
    assert "write its path into the code" in card(tmp_path)[1]
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code(tmp_path).replace('"tiny-llama"', repr(str(base_folder))), names)  # noqa: S102 - the code is to be run
    assert names["model"].dtype == dtype
    passages = tiny_corpus.of(0, Split.PROBE)
    measured = [names["loss"](tiny_corpus.texts[i]) for i in passages.ids]
    assert np.mean(measured) == pytest.approx(float(learner.losses(passages).mean()), abs=1e-3)
    assert ("In half precision" in card(tmp_path)[1]) == (dtype == torch.bfloat16)


def test_the_cards_code_names_where_the_weights_are_from(folder: Path) -> None:
    adapter = replace(read_adapter(folder), base="smollm2@" + "12ab" * 8)
    packaged = Origin("HuggingFaceTB/X", "", "llm-x==1.2", "x.gguf", "34cd", "bfloat16", "<|endoftext|>")
    save_adapter(replace(adapter, origin=packaged), folder)
    assert f'source = base_folder("{adapter.base}")' in code(folder) and 'dtype="bfloat16"' in code(folder)
    for fact in ("x.gguf of llm-x==1.2, dequantised; SHA-256 34cd", r"every passage is led by: &lt;\|endoftext\|&gt;"):
        assert fact in card(folder)[1]
    save_adapter(replace(adapter, origin=Origin("HuggingFaceTB/X", "56ef", dtype="float32")), folder)
    assert 'from_pretrained(source, revision="56ef", dtype="float32")' in code(folder)
    assert 'source = "HuggingFaceTB/SmolLM2-135M-Instruct"' in code(folder) and "kgrl.learners" not in code(folder)
    save_adapter(replace(adapter, origin=Origin()), folder)
    assert "It is not known from which weights" in card(folder)[1]


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


@pytest.mark.parametrize("known", [{"package": "y"}, {"hub": "y"}, {}])
def test_names_like_code_stay_strings_in_a_card(known: dict[str, str], folder: Path) -> None:
    evil = 'x"); evil("\n```\n---\n'
    origin = Origin(**dict.fromkeys(("revision", "file", "sha256", "dtype", "passage_start"), evil) | known)
    save_adapter(replace(read_adapter(folder), base=evil, origin=origin), folder)
    _, text = card(folder)
    assert text.count("\n```") == 2, "the code block has one beginning and one end"
    tree = ast.parse(code(folder))
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert called <= {"base_folder", "tokenizer", "model"}
    assert evil in {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}


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
    record["base_model_origin"]["colour"] = "blue"
    (folder / "kgrl.json").write_text(json.dumps({**record, "colour": "blue"}))
    assert read_adapter(folder).facts == FACTS


def made_by_peft(base_folder: Path, folder: Path, config: peft.PeftConfig, std: float = 0.3) -> Adapter:
    """An adapter of the tiny model by PEFT alone, all its own weights other than zero."""
    torch.manual_seed(0)
    model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base_folder), config)
    for weight in (weight for weight in model.parameters() if weight.requires_grad):
        torch.nn.init.normal_(weight, std=std)
    model.save_pretrained(folder)
    return read_adapter(folder)


def lora(**options: Any) -> peft.LoraConfig:
    return peft.LoraConfig(**{"task_type": "CAUSAL_LM", "r": 4, "target_modules": ["q_proj", "up_proj"], **options})


@pytest.mark.filterwarnings("ignore:.*")  # PEFT's, about embeddings and about a base model that PiSSA changes
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lora(lora_bias=True), r"adapter_config\.json, lora_bias is True"),
        (lambda: lora(use_dora=True), r"adapter_config\.json, use_dora is True"),
        (lambda: lora(bias="all"), r"adapter_config\.json, bias is 'all'"),
        (lambda: lora(init_lora_weights="pissa"), r"adapter_config\.json, init_lora_weights is 'pissa'"),
        (lambda: lora(modules_to_save=["lm_head"]), r"adapter_config\.json, modules_to_save is \['lm_head'\]"),
        (lambda: lora(trainable_token_indices=[1, 2]), r"adapter_config\.json, trainable_token_indices is \[1, 2\]"),
        (lambda: lora(alora_invocation_tokens=[1]), r"adapter_config\.json, alora_invocation_tokens is \[1\]"),
        (
            lambda: lora(target_modules=["q_proj", "embed_tokens"]),
            r"adapter_model\.safetensors has also .*embed_tokens\.",
        ),
        (lambda: peft.LoHaConfig(r=4, target_modules=["q_proj"]), r"adapter_config\.json, peft_type is 'LOHA'"),
        (
            lambda: peft.IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]),
            r"adapter_config\.json, peft_type is 'IA3'",
        ),
    ],
)
def test_adapters_that_are_not_plain_lora_are_refused(
    make: Callable[[], peft.PeftConfig], message: str, learner: LoraLearner, base_folder: Path, tmp_path: Path
) -> None:
    adapter = made_by_peft(base_folder, tmp_path / "odd", make())
    with pytest.raises(KgrlError, match=f"'odd' is not plain LoRA: (in )?{message}"):
        learner.load_adapter(tmp_path / "odd")
    with pytest.raises(KgrlError, match=f"'odd' is not plain LoRA: (in )?{message}"):
        compose([adapter])


def test_settings_that_are_not_known_are_refused(folder: Path, learner: LoraLearner) -> None:
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "some_config": {}, "use_more": False}))
    learner.load_adapter(folder)
    (folder / "adapter_config.json").write_text(json.dumps({**config, "use_more": True}))
    with pytest.raises(KgrlError, match=r"not plain LoRA: in adapter_config\.json, use_more is True"):
        learner.load_adapter(folder)


def test_matrices_of_another_rank_than_the_file_says_are_refused(folder: Path, learner: LoraLearner) -> None:
    adapter = read_adapter(folder)
    less = {**adapter.config, "r": adapter.rank // 2}
    with pytest.raises(KgrlError, match=rf"has matrices of rank {adapter.rank}, not {adapter.rank // 2}"):
        learner.weights_of(replace(adapter, config=less))


def has_the_losses_of_peft(learner: LoraLearner, base_folder: Path, folder: Path) -> bool:
    """Whether a learner that read an adapter has the loss of PEFT's own model with it, and another one than before."""
    before, passage = learner.losses(learner.corpus.select([0])), learner.corpus.select([0])
    learner.load_adapter(folder)
    model = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base_folder), folder)
    ids = torch.from_numpy(learner.tokens[0].astype(np.int64))[None]
    with torch.no_grad():
        expected = model(input_ids=ids, labels=ids).loss.item()
    assert abs(expected - float(before[0])) > 3e-4
    return bool(float(learner.losses(passage)[0]) == pytest.approx(expected, abs=1e-5))


PATTERNS: dict[str, Any] = {"rank_pattern": {"q_proj": 2, "^model.layers.1.mlp.up_proj": 7}}
ALPHAS: dict[str, Any] = {"alpha_pattern": {r"layers\.0\..*": 3, "q_proj": 11}}


@pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:RuntimeWarning")  # PEFT's, about rsLoRA with patterns
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True},
        {"init_lora_weights": "orthogonal"},
        {"r": 2},
        PATTERNS,
        ALPHAS,
        {**PATTERNS, **ALPHAS, "use_rslora": True},
    ],
)
def test_plain_adapters_of_others_have_the_losses_that_they_have_in_peft(
    options: dict[str, Any], tiny_corpus: Corpus, base_folder: Path, tmp_path: Path
) -> None:
    made_by_peft(base_folder, tmp_path, lora(**options), std=1)
    learner = LoraLearner(tiny_corpus, model=str(base_folder), dtype=torch.float32)
    assert has_the_losses_of_peft(learner, base_folder, tmp_path)


@pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:RuntimeWarning")
@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {**PATTERNS, **ALPHAS}])
def test_learners_with_dora_read_dora_of_others(
    options: dict[str, Any], tiny_corpus: Corpus, base_folder: Path, tmp_path: Path
) -> None:
    adapter = made_by_peft(base_folder, tmp_path / "theirs", lora(use_dora=True, **options), std=3)
    targets = "q_proj+up_proj"
    learner = LoraLearner(
        tiny_corpus, model=str(base_folder), dora=True, target_modules=targets, rank=9, alpha=5, dtype=torch.float32
    )
    assert has_the_losses_of_peft(learner, base_folder, tmp_path / "theirs")
    more = LoraLearner(tiny_corpus, model=str(base_folder), dora=True)
    with pytest.raises(SettingError, match=r"'theirs' is not on model.*, which this learner adapts; .*target_modules"):
        more.weights_of(adapter)
    plain = made_by_peft(base_folder, tmp_path / "plain", lora())
    with pytest.raises(SettingError, match="give the adapter to one without it"):
        learner.weights_of(plain)


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ({"rank_pattern": {"q_proj": 0}}, "rank_pattern has 0.0 for 'q_proj'; it must be above 0"),
        ({"rank_pattern": {"(q_proj": 2}}, r"rank_pattern has '\(q_proj', which is no regular expression"),
        ({"alpha_pattern": {"q_proj": "many"}}, "expected a number, found text"),
        ({"alpha_pattern": [2]}, "expected an object, found a list"),
    ],
)
def test_senseless_patterns_are_refused(patterns: dict[str, Any], message: str, folder: Path) -> None:
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, **patterns}))
    with pytest.raises(DataError, match=message):
        read_adapter(folder)


@pytest.mark.parametrize("pattern", [{"rank_pattern": {"q_proj": 2}}, {"alpha_pattern": {"q_proj": 2}}])
def test_adapters_with_patterns_are_read_and_not_composed(
    pattern: dict[str, Any], base_folder: Path, tmp_path: Path, tiny_corpus: Corpus
) -> None:
    adapter = made_by_peft(base_folder, tmp_path / "odd", lora(**pattern))
    with pytest.raises(KgrlError, match=rf"'odd' is not plain LoRA: in adapter_config\.json, {next(iter(pattern))} is"):
        compose([adapter])
    low = LoraLearner(tiny_corpus, model=str(base_folder), rank=3)
    with pytest.raises(SettingError, match="has rank 4: give the learner at least that rank, not 3"):
        low.load_adapter(tmp_path / "odd")
    # A pattern that does not fit the matrices, as in a file that was changed.
    with pytest.raises(KgrlError, match=r"has matrices of rank 4, not 5, on the layer .*up_proj"):
        low.weights_of(replace(adapter, config={**adapter.config, "rank_pattern": {"up_proj": 5, "q_proj": 2}}))


def test_matrices_of_another_shape_are_refused(folder: Path, learner: LoraLearner) -> None:
    adapter = read_adapter(folder)
    name = next(name for name in adapter.tensors if name.endswith("lora_A.weight"))
    odd = replace(adapter, tensors={**adapter.tensors, name: torch.ones(4, 5)})
    with pytest.raises(KgrlError, match=r"'adapter' has matrices of shapes \[4, 5\]"):
        learner.weights_of(odd)
    lacking = replace(adapter, tensors={n: t for n, t in adapter.tensors.items() if n != name})
    with pytest.raises(KgrlError, match=r"adapter_model\.safetensors has also"):
        learner.weights_of(lacking)


@pytest.mark.filterwarnings("ignore:The following (rank|alpha)_pattern")
def test_a_learner_reads_its_own_adapter_of_a_mixture_of_experts(
    tiny_corpus: Corpus, base_folder: Path, tmp_path: Path
) -> None:
    """PEFT gives such a model patterns of its own; an adapter that has the same is no obstacle."""
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_local_experts": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 400, "bos_token_id": 0}
    MixtralForCausalLM(MixtralConfig(**shape, **heads, eos_token_id=None)).save_pretrained(tmp_path / "mixtral")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "mixtral" / name).write_bytes((base_folder / name).read_bytes())
    one, two = (LoraLearner(tiny_corpus, model=str(tmp_path / "mixtral"), seed=seed) for seed in (1, 2))
    one.learn(tiny_corpus.of(0, Split.TRAIN), 300)
    write_adapter(one, tmp_path / "adapter", FACTS)
    two.load_adapter(tmp_path / "adapter")
    assert torch.equal(one.weights, two.weights)
    other = LoraLearner(tiny_corpus, model=str(tmp_path / "mixtral"), rank=16)
    with pytest.raises(KgrlError, match="rank_pattern"):
        other.load_adapter(tmp_path / "adapter")


def test_names_alone_decide_where_a_hash_is_missing() -> None:
    assert same_base("models/tiny-llama", "tiny-llama@12") and not same_base("tiny-llama", "small-llama@12")
