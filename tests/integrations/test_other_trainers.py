"""TRL's SFTTrainer, and trainers in several processes, on text that an agent chooses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "support" / "curriculum_trainer.py"


def launched(kind: str, out: Path, processes: int, batch: int) -> subprocess.CompletedProcess[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *launcher, str(SCRIPT), kind, str(out), str(batch)]
    setting = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=setting, check=False)


def told(kind: str, out: Path, processes: int, batch: int) -> list[dict[str, Any]]:
    """Return what each process printed."""
    done = launched(kind, out, processes, batch)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"rank"')]
    return sorted(lines, key=lambda line: line["rank"])


@pytest.mark.parametrize("kind", ["sft", "plain"])
def test_two_processes_choose_and_learn_as_one_does(kind: str, tmp_path: Path) -> None:
    (one,) = told(kind, tmp_path / "one", processes=1, batch=4)
    two = told(kind, tmp_path / "two", processes=2, batch=2)
    assert [line["rank"] for line in two] == [0, 1] and len(one["losses"]) == 6
    for line in (one, *two):
        assert line["resumed"] and line["picked"] == one["picked"]
        # A batch's mean is over its tokens in one process and over both halves' means in two, if lengths differ.
        assert line["losses"] == pytest.approx(one["losses"], rel=2e-3)
    assert two[0]["losses"] == two[1]["losses"]


def test_a_process_that_hands_out_batches_is_refused_with_the_setting_to_change(tmp_path: Path) -> None:
    done = launched("dispatched", tmp_path, processes=2, batch=2)
    assert done.returncode and "accelerator_config={'dispatch_batches': False}" in done.stderr
