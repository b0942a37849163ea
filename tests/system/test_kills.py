"""The harness of kills: it finds work that does not survive them, and passes work that does."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from kgrl.cli import main as kgrl
from kgrl.data.folder import save_folder
from kgrl.errors import KgrlError
from kgrl.system.files import write_text
from kgrl.testing.kills import contents, difference, survive
from kgrl.testing.samples import sample_corpus

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
    save_folder(sample_corpus(), tmp_path / "corpus")

    def work(folder: Path) -> int:
        sizes = ["--budget-tokens", "2000", "--expansion-tokens", "200", "--nucleus-size", "2", "--exam-topics", "8"]
        begin = ["run", "--corpus", str(tmp_path / "corpus"), "--learner", "scratch", *sizes, "--out", str(folder)]
        return kgrl(["run", "--resume", str(folder)] if (folder / "config.yaml").exists() else begin)

    rng, began = np.random.default_rng(0), time.perf_counter()
    survive(lambda: work(tmp_path / "warm"), 0, 0.0, rng)
    survive(lambda: work(tmp_path / "whole"), 0, 0.0, rng)
    seconds = (time.perf_counter() - began) / 2
    assert survive(lambda: work(tmp_path / "killed"), 6, seconds, rng) > 0
    assert difference(contents(tmp_path / "whole"), contents(tmp_path / "killed")) == []
