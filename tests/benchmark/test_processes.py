"""The benchmark in processes: killed ones, dying workers, and results that do not depend on how many there are."""

from __future__ import annotations

import importlib
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kgrl.benchmark.comparison import compare
from kgrl.benchmark.runner import Cell, failures, read_rows, run_cells
from kgrl.system.executors import executors

pytestmark = pytest.mark.integration

AGENT = """
import os

from kgrl.agents import BaseAgent


class Dying(BaseAgent):
    def choose(self, view):
        os._exit(9)
"""
BENCH = ("--tasks", "coverage", "--corpus", "invented:120", "--agents", "random,bfs,degree", "--seeds", "2")


def figures(out: Path) -> list[dict[str, Any]]:
    """The rows of the cells, without their times."""
    return [{k: v for k, v in row.items() if k not in ("seconds", "overhead")} for row in read_rows(out)]


@pytest.fixture
def dying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package with the agent `dying`, which this process and those it starts find."""
    package = tmp_path / "package"
    (package / "dying-1.0.dist-info").mkdir(parents=True)
    (package / "dying-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: dying\nVersion: 1.0\n")
    (package / "dying-1.0.dist-info/entry_points.txt").write_text("[kgrl.agents]\ndying = dying_agent:Dying\n")
    (package / "dying_agent.py").write_text(AGENT)
    monkeypatch.syspath_prepend(str(package))
    importlib.invalidate_caches()


def test_a_worker_that_dies_fails_its_cell_alone(dying: None, tmp_path: Path) -> None:
    cells = [Cell("coverage", "invented:120", "scratch", agent, 0, 1500) for agent in ("random", "dying", "bfs")]
    assert len(list(run_cells(cells, tmp_path, executors.make("process", workers=1)))) == 3
    (line,) = failures(read_rows(tmp_path))
    assert line.startswith("coverage/invented:120/scratch/dying/0: ")
    assert "its worker process died" in line
    assert [row["agent"] for row in compare(read_rows(tmp_path))] == ["bfs", "random"]


def test_results_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    cells = [
        Cell("coverage", "invented:120", "scratch", agent, seed, 1500) for seed in (0, 1) for agent in ("random", "bfs")
    ]
    for workers in (1, 2):
        list(run_cells(cells, tmp_path / str(workers), executors.make("process", workers=workers)))
    assert figures(tmp_path / "1") == figures(tmp_path / "2")


def start(out: Path) -> subprocess.Popen[bytes]:
    program = "from kgrl.cli import main; raise SystemExit(main())"
    command = [sys.executable, "-c", program, "bench", *BENCH, "--budget-tokens", "1500", "--out", str(out)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def finished(out: Path) -> dict[Path, tuple[int, bytes]]:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.glob("*/*/*/*/*.json")}


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    while not condition() and process.poll() is None:
        time.sleep(0.05)


def test_a_benchmark_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    undisturbed, out, draw = tmp_path / "undisturbed", tmp_path / "killed", random.Random(0)
    assert start(undisturbed).wait() == 0
    kept: dict[Path, tuple[int, bytes]] = {}
    for cells in (1, 3):
        process = start(out)
        wait_for(lambda enough=cells: len(finished(out)) >= enough, process)  # type: ignore[misc]
        time.sleep(draw.random() / 2)
        process.kill()
        process.wait()
        assert kept.items() <= finished(out).items()
        kept = finished(out)
    assert len(kept) < 6, "it was never killed in the middle"
    assert start(out).wait() == 0
    assert kept.items() <= finished(out).items()
    assert figures(out) == figures(undisturbed)
    assert not list(out.rglob("*.tmp"))
