"""Files are whole or not there, and keys follow content."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.system.files import (
    cache_dir,
    content_key,
    file_digest,
    new_folder,
    replacing,
    write_json,
    write_npy,
    write_text,
)


def test_environment_overrides_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KGRL_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("KGRL_CACHE")
    assert cache_dir().name == "kgrl"


parts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), max_size=4)


@given(parts, parts)
def test_different_parts_have_different_keys(one: list[str], other: list[str]) -> None:
    assert (content_key(*one) == content_key(*other)) == (one == other)


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "notes.txt"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert [file.name for file in path.parent.iterdir()] == ["notes.txt"]


def test_json_and_arrays_come_back(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"é": [1, None]})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"é": [1, None]}
    write_npy(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
    assert np.load(tmp_path / "a.npy", allow_pickle=False).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_json_refuses_what_it_has_no_word_for(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), new_folder(tmp_path / "run") as temporary:
        (temporary / "half").touch()
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    with new_folder(tmp_path / "run") as temporary:
        (temporary / "whole").touch()
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["whole"]


def test_digest_follows_the_content_not_the_name(tmp_path: Path) -> None:
    for name, text in (("a", "same"), ("b", "same"), ("c", "other")):
        (tmp_path / name).write_text(text)
    assert file_digest(tmp_path / "a") == file_digest(tmp_path / "b") != file_digest(tmp_path / "c")
