"""`kgrl merge`: runs and adapter folders in, one adapter folder out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from kgrl.cli import main
from kgrl.learners.adapters.folder import Adapter, AdapterFacts, read_adapter, save_adapter


def make(folder: Path, seed: int = 0, base: str = "net@12ab", **config: Any) -> Path:
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        "layer.lora_A.weight": torch.randn(2, 6, generator=generator),
        "layer.lora_B.weight": torch.randn(5, 2, generator=generator),
    }
    facts = AdapterFacts("tiny", (f"topic {seed}",), tokens=100, seed=seed)
    plain = {"peft_type": "LORA", "r": 2, "lora_alpha": 4}
    save_adapter(Adapter(folder.name, base, {**plain, **config}, tensors, facts), folder)
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """A run with two adapters, another with one, and an adapter folder."""
    make(tmp_path / "one" / "adapters" / "a", 1)
    make(tmp_path / "one" / "adapters" / "b", 2)
    make(tmp_path / "two" / "adapters" / "a", 3)
    return [tmp_path / "one", tmp_path / "two", make(tmp_path / "alone", 4)]


def test_all_adapters_of_runs_are_composed(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, result_file = tmp_path / "both", tmp_path / "result.json"
    assert main(["merge", *map(str, runs), "--out", str(out), "--json", str(result_file)]) == 0
    composed, sources = read_adapter(out), ["one/a", "one/b", "two/a", "alone"]
    folders = [runs[0] / "adapters/a", runs[0] / "adapters/b", runs[1] / "adapters/a", runs[2]]
    total = sum(read_adapter(folder).delta("layer") for folder in folders)
    torch.testing.assert_close(composed.delta("layer"), 0.4 * total)
    result = json.loads(result_file.read_text())
    assert [source["adapter"] for source in result["sources"]] == sources
    assert (result["rank"], result["tokens"], result["base_model"]) == (8, 400, "net@12ab")
    card, printed = (out / "README.md").read_text(), capsys.readouterr().out
    for name in sources:
        assert name in card and name in printed
    assert "task-arithmetic (weight 0.4)" in card and "task-arithmetic (weight 0.4)" in printed


def test_options_reach_the_method(runs: list[Path], tmp_path: Path) -> None:
    arguments = ["merge", str(runs[0]), "--method", "dare", "--weight", "1", "--density", "0.9"]
    changes = []
    for name, seed in (("x", "1"), ("y", "1"), ("z", "2")):
        assert main([*arguments, "--seed", seed, "--out", str(tmp_path / name)]) == 0
        changes.append(read_adapter(tmp_path / name).delta("layer"))
    assert torch.equal(changes[0], changes[1]) and not torch.equal(changes[0], changes[2])
    assert read_adapter(tmp_path / "x").facts.method == "dare (weight 1, density 0.9)"


def test_nothing_is_overwritten(runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (runs[2] / "README.md").read_bytes()
    assert main(["merge", str(runs[0]), "--out", str(runs[2])]) == 2
    assert str(runs[2]) in capsys.readouterr().err
    assert (runs[2] / "README.md").read_bytes() == before


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_a_folder_without_adapters_is_named(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty" / "adapters").mkdir(parents=True)
    assert main(["merge", str(tmp_path / name), "--out", str(tmp_path / "out")]) == 2
    assert str(tmp_path / name) in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_adapters_of_two_base_models_are_refused(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make(tmp_path / "odd", base="web@34cd")
    assert main(["merge", str(runs[1]), str(other), "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert all(part in message for part in ("two/a", "odd", "net@12ab", "web@34cd"))


def test_no_run_at_all_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["merge", "--out", str(tmp_path / "out")]) == 2
    assert "no adapters" in capsys.readouterr().err
