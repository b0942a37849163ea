"""`kgrl neighbourhoods`: one adapter for each community, each measured on all, and composed by `kgrl merge`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kgrl.cli import main
from kgrl.corpus import Corpus
from kgrl.data import save_folder


@pytest.fixture
def command(tiny_corpus: Corpus, base_folder: Path, tmp_path: Path) -> list[str]:
    save_folder(tiny_corpus, tmp_path / "corpus")
    where = ["--corpus", str(tmp_path / "corpus"), "--model", str(base_folder), "--out", str(tmp_path / "out")]
    return ["neighbourhoods", *where, "--communities", "2", "--tokens", "800", "--rank", "2", "--executor", "serial"]


def test_each_adapter_helps_its_own_neighbourhood(command: list[str], tmp_path: Path) -> None:
    assert main([*command, "--json", str(tmp_path / "told.json")]) == 0
    told = json.loads((tmp_path / "told.json").read_text())
    assert [row["name"] for row in told["neighbourhoods"]] == ["neighbourhood-0", "neighbourhood-1"]
    assert sum(row["topics"] for row in told["neighbourhoods"]) == 40
    assert all(row["loss_taught"] < row["loss_untaught"] for row in told["neighbourhoods"])
    assert len(told["interference"]) == 3 and (tmp_path / "out" / "interference.png").stat().st_size > 1_000
    assert main(["merge", str(tmp_path / "out"), "--out", str(tmp_path / "merged")]) == 0


def test_it_goes_on_where_it_was_and_refuses_other_settings(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 0
    adapter = tmp_path / "out" / "adapters" / "neighbourhood-1" / "adapter_model.safetensors"
    before = adapter.stat().st_mtime_ns
    assert main(command) == 0 and adapter.stat().st_mtime_ns == before
    assert main([*command, "--tokens", "900"]) == 2
    assert "trained with another 'tokens'" in capsys.readouterr().err


def test_more_communities_than_there_are_is_an_error(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--communities", "30"]) == 2
    assert "fewer than the 30 asked for" in capsys.readouterr().err
