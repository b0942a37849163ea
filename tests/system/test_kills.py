"""The harness of kills: it finds work that does not survive them, and passes work that does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kgrl.errors import KgrlError
from kgrl.system.files import write_text
from kgrl.testing.kills import contents, difference, survive

ROOT = Path(__file__).parents[2]
_STEPS = 20


def _in_steps(path: Path, safe: bool) -> int:
    """Write a line in each step; unsafe work cuts its file and writes it anew, a safe one replaces it."""
    done = path.read_text().splitlines() if path.exists() else []
    for step in range(len(done), _STEPS):
        done.append(f"step {step}")
        time.sleep(0.002)
        if safe:
            write_text(path, "\n".join(done))
        else:
            path.write_text("")
            time.sleep(0.002)
            path.write_text("\n".join(done))
    return 0


def test_work_that_replaces_its_files_survives(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    assert survive(lambda: _in_steps(tmp_path / "a", safe=True), 8, 0.06, rng) > 0
    assert (tmp_path / "a").read_text().splitlines() == [f"step {n}" for n in range(_STEPS)]


def test_work_that_loses_something_is_found(tmp_path: Path) -> None:
    for number in range(10):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "left-over.tmp").write_text("") if number == 3 else None
        (folder / "a.json").write_text(f'{{"loss": {number % 2}, "seconds": {number}}}')
    same, other, more = (contents(tmp_path / name) for name in ("0", "1", "3"))
    assert difference(contents(tmp_path / "2"), same) == []  # their times differ, which does not count
    assert difference(same, other) == ["a.json"]
    assert difference(other, more) == ["left-over.tmp"]


def test_work_that_ends_with_an_error_is_named() -> None:
    with pytest.raises(KgrlError, match="ended with 2"):
        survive(lambda: 2, 0, 0.0, np.random.default_rng(0))


@pytest.mark.integration
def test_a_run_survives_kills_at_any_moment(tmp_path: Path) -> None:
    told = tmp_path / "survival.json"
    command = [sys.executable, "benchmarks/survival.py", "--kills", "5", "--commands", "run", "--json", str(told)]
    # A process of its own: children that are forked after torch has computed on several threads would wait for these.
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, timeout=600)
    run = json.loads(told.read_text())["run"]
    assert run["kills"] >= 5 and run["differ"] == [] and run["errors"] == []
