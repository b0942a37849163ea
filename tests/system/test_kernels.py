"""Kernels are compiled once for a processor, and a line says so when that takes long."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kgrl.system import kernels
from kgrl.system.kernels import Announcement

_CODE = """
from numba.core import event
class Seen(event.Listener):
    names = []
    def on_start(self, event):
        function = event.data["dispatcher"].py_func
        if function.__module__.startswith("kgrl."): self.names.append(function.__name__)
    def on_end(self, event): pass
event.register("numba:compile", Seen())
from kgrl.learners.simulated.kernels import losses, style_drop
import numpy as np
style_drop(np.ones(11), 5)
print(*Seen.names)
"""


def _compiled(folder: Path, **environment: str) -> str:
    """Return what a process compiles that uses one kernel."""
    variables = {**os.environ, "NUMBA_CACHE_DIR": str(folder), **environment}
    return subprocess.run(
        [sys.executable, "-c", _CODE], env=variables, capture_output=True, text=True, check=True
    ).stdout


def test_a_kernel_is_compiled_once_for_each_processor_and_others_not_at_all(tmp_path: Path) -> None:
    assert _compiled(tmp_path).split() == ["style_drop"]
    assert _compiled(tmp_path).split() == []
    assert _compiled(tmp_path, NUMBA_CPU_NAME="generic").split() == ["style_drop"]


def test_compiling_is_announced_once_and_only_if_it_takes_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    monkeypatch.setattr(kernels.time, "monotonic", lambda: now)
    listener = Announcement()

    def compile_for(seconds: float) -> int:
        nonlocal now
        listener.on_start(None)
        listener.on_start(None)  # what it calls
        now += seconds
        listener.on_end(None)
        listener.on_end(None)
        return len(caplog.records)

    with caplog.at_level(logging.INFO, "kgrl.system.kernels"):
        assert [compile_for(1), compile_for(1), compile_for(5), compile_for(5)] == [0, 0, 1, 1]
