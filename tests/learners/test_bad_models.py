"""Models and tokenizers that cannot be taught, each refused by its name with the reason and the way out."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from kgrl.cli import main
from kgrl.corpus import Corpus
from kgrl.data.folder import save_folder
from kgrl.errors import KgrlError, MissingDataError
from kgrl.learners import LoraLearner, ScratchLearner


def set_config(name: str, **values: Any) -> Callable[[Path], None]:
    """Change a JSON file of a model."""

    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


def set_weights(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    """Change the weights of a model."""

    def changed(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors")

    return changed


def without_special_tokens(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "TokenizersBackend"}')


def more_tokens(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    known = tokenizer["model"]["vocab"]
    known |= {f"more{i}": len(known) + i for i in range(50)}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def slow_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    set_config("tokenizer_config.json", tokenizer_class="ByT5Tokenizer")(folder)


def cut_off(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:100])


LAST = "model.layers.1.mlp.up_proj.weight"
EMBEDDING = "model.embed_tokens.weight"

CASES: dict[str, tuple[Callable[[Path], None], str]] = {
    "no token leads": (
        without_special_tokens,
        r"tokenizer of '.*changed' has no token that could lead a passage: .*; name one .* as bos_token or eos_token",
    ),
    "more tokens": (
        more_tokens,
        r"'.*changed' has 450 tokens, and the model embeddings for 400: enlarge",
    ),
    "slow": (slow_tokenizer, r"the tokenizer of '.*changed' is a ByT5Tokenizer, which has no tokenizer\.json"),
    "no tokenizer": (
        lambda folder: (folder / "tokenizer.json").unlink(),
        r"changed holds no tokenizer .*tokenizer\.json",
    ),
    "damaged tokenizer": (cut_off("tokenizer.json"), "changed holds no tokenizer that transformers can load"),
    "damaged configuration": (cut_off("config.json"), "changed holds no model that transformers can load: .*JSON"),
    "damaged weights": (cut_off("model.safetensors"), "changed holds no model that transformers can load"),
    "impossible shape": (
        set_config("config.json", num_attention_heads=3),
        r"changed holds no model .*hidden size \(32\) is not a multiple",
    ),
    "unknown type": (set_config("config.json", model_type="nosuch"), "changed holds no model .*`nosuch`"),
    "own code": (
        set_config("config.json", model_type="own", auto_map={"AutoConfig": "own.Config"}),
        "the model in .*changed needs code of its own, which kgrl does not run",
    ),
    "missing weights": (
        set_weights(lambda weights: weights.pop(LAST)),
        f"the weights of '.*changed' lack {re.escape(LAST)}; give the whole checkpoint",
    ),
    "of another model": (
        set_weights(lambda weights: weights.update({EMBEDDING: weights[EMBEDDING][:300].clone()})),
        f"the weights of '.*changed' have other shapes than config.json says for {re.escape(EMBEDDING)}",
    ),
    "no numbers": (
        set_weights(lambda weights: weights[LAST].fill_(float("nan"))),
        r"the logits of this model of type 'llama' are infinite or no numbers",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_model_that_cannot_be_taught_is_named(
    case: str, tiny_corpus: Corpus, base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(prompt: str) -> str:
        raise AssertionError("nothing is asked on a terminal")

    monkeypatch.setattr("builtins.input", asked)
    change, told = CASES[case]
    shutil.copytree(base_folder, tmp_path / "changed")
    change(tmp_path / "changed")
    with pytest.raises(KgrlError, match=told):
        LoraLearner(tiny_corpus, model=str(tmp_path / "changed"), dtype="float32")


def test_a_folder_that_is_gone_is_named_as_one(tiny_corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=rf"there is no folder {tmp_path / 'gone'} with a model"):
        LoraLearner(tiny_corpus, model=str(tmp_path / "gone"))


@pytest.mark.parametrize("learner", ["lora", "full"])
def test_a_run_is_not_resumed_with_another_model(
    learner: str, tiny_corpus: Corpus, base_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, model, run = tmp_path / "corpus", tmp_path / "model", tmp_path / "run"
    save_folder(tiny_corpus, corpus)
    shutil.copytree(base_folder, model)
    small = ("--budget-tokens", "600", "--expansion-tokens", "300", "--exam-topics", "4")
    named = ("--corpus", str(corpus), "--learner", learner, "--model", str(model))
    assert main(["run", *named, *small, "--out", str(run)]) == 0
    shutil.rmtree(model)
    ScratchLearner(tiny_corpus, seed=10, width=32, heads=2, vocabulary=400).save(model)
    before = {path: path.read_bytes() for path in run.rglob("*.json*")}
    assert main(["run", "--resume", str(run)]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert re.search(r"holds a learner whose base_model is 'model@\w+', .*: its base_model is 'model@\w+'", told)
    assert {path: path.read_bytes() for path in run.rglob("*.json*")} == before
