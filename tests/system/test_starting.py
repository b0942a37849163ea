"""Shorter starts: torch's library loaded ahead, and no search for garbage meanwhile."""

from __future__ import annotations

import gc
import importlib.machinery
import importlib.util
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kgrl.system.starting import load_torch_ahead, without_collection


def test_torch_works_when_its_library_was_loaded_ahead() -> None:
    code = """
from kgrl.system.starting import load_torch_ahead
load_torch_ahead()
import torch
print(int((torch.ones(3) @ torch.ones(3)).item()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3"]


@pytest.mark.parametrize("content", [None, b"no library"])
def test_a_library_that_is_missing_or_damaged_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "lib").mkdir()
        (tmp_path / "lib" / "libtorch_cpu.so").write_bytes(content)
    spec = importlib.machinery.ModuleSpec("torch", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    failed: list[object] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    before = set(threading.enumerate())
    load_torch_ahead()
    for thread in set(threading.enumerate()) - before:
        thread.join()
    assert failed == []


def test_the_search_for_garbage_is_as_before_afterwards() -> None:
    with pytest.raises(KeyError), without_collection():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()
    gc.disable()
    try:
        with without_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
