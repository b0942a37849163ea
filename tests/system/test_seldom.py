"""Seldom-called kernels: Python carries them out until numba is worth loading, with the same result."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kgrl.corpus import Corpus
from kgrl.curriculum.research_kernels import ResearchTables, gather_into, neighbourhood_into
from kgrl.graph.rows import compressed, discover
from kgrl.system import seldom
from kgrl.system.seldom import SeldomCalled

_CODE = """
import sys
from types import SimpleNamespace
from kgrl.system import seldom

@seldom.SeldomCalled
def double(number):
    return 2 * number

for seconds in (0.0, 0.2, 0.4, 0.1, 0.1):
    ticks = iter((0.0, seconds))
    seldom.time = SimpleNamespace(perf_counter=lambda: next(ticks))
    assert double(3) == 6
    print("numba" in sys.modules)
"""


def test_numba_is_loaded_once_python_took_as_long(tmp_path: Path) -> None:
    path = tmp_path / "calls.py"
    path.write_text(_CODE)
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"] * 3 + ["True"] * 2  # after three calls Python has taken .6 seconds


def test_numba_is_used_when_it_is_loaded_already(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = SeldomCalled(lambda: "python")
    kernel.compiled = lambda: "numba"
    monkeypatch.setitem(sys.modules, "numba", sys)
    assert kernel() == "numba"
    monkeypatch.delitem(sys.modules, "numba")
    assert kernel() == "python"
    kernel._seconds = 2 * seldom._LOADING
    assert kernel() == "numba"


@pytest.mark.parametrize("seed", range(5))
def test_python_and_numba_agree(seed: int) -> None:
    rng = np.random.default_rng(seed)
    topics, passages = 30, 90
    starts, near = compressed(topics, rng.integers(topics, size=150), rng.integers(topics, size=150))
    owners = np.sort(rng.integers(topics, size=passages))
    owned = np.searchsorted(owners, np.arange(topics + 1)).astype(np.int64)
    found = rng.integers(-1, passages, size=(topics, 5)).astype(np.int32)
    tables = ResearchTables(starts, near, owned, rng.permutation(passages).astype(np.int32), found)
    learned, used = rng.random(topics) < 0.3, rng.random(passages) < 0.5
    tokens = rng.integers(1, 50, size=passages)
    results = []
    for chosen in ("_function", "compiled"):
        links, frontier = np.zeros(topics, dtype=np.int32), np.full(200, -1, dtype=np.int32)
        count = 0
        for topic in range(5):
            count = getattr(discover, chosen)(starts, near, topic, links, learned, frontier, count)
        chosen_topics, read = np.full(8, -1, dtype=np.int32), np.full(120, -1, dtype=np.int32)
        n = getattr(neighbourhood_into, chosen)(tables, learned, ~learned, 3, chosen_topics)
        for enough in (60, 2**62):
            total = getattr(gather_into, chosen)(tables, used, chosen_topics, n, tokens, enough, read)
            results.append((count, n, int(total), links.tolist(), frontier.tolist(), read.tolist()))
        assert len(set(read[:total].tolist())) == total
    assert results[:2] == results[2:]


def test_a_curriculum_of_a_plain_agent_loads_neither_numba_nor_scipy(tiny_corpus: Corpus) -> None:
    code = """
import sys
import kgrl.cli.run, kgrl.runs.run, kgrl.data.load, kgrl.agents.make, kgrl.learners.make
from kgrl.agents.make import make_agent
make_agent("closure")
print(*({"numba", "scipy"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
