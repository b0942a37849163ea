"""The benchmark of agents: each cell is carried out once, failures stay with their cell, pairs are compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from kgrl.agents import BaseAgent, agents
from kgrl.benchmark import runner
from kgrl.benchmark.comparison import compare
from kgrl.benchmark.runner import Cell, check_folder, failures, read_rows, run_cells
from kgrl.benchmark.tasks import Task
from kgrl.corpus import Corpus
from kgrl.curriculum import CurriculumConfig
from kgrl.errors import DataError, KgrlError
from kgrl.learners.executors import SerialExecutor
from kgrl.research import Researcher
from kgrl.retrieval import FaissRetriever, indexed_passages
from kgrl.view import View


class Crashing(BaseAgent):
    """Somebody's agent with a bug."""

    def choose(self, view: View) -> int:
        """Raise what nobody foresaw."""
        raise ZeroDivisionError("one over nothing")


@pytest.fixture(autouse=True)
def tiny_task(
    tiny_corpus: Corpus, fake_embeddings: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Every task is a small one, without an encoder."""
    config = CurriculumConfig(budget_tokens=400, expansion_tokens=100, neighbourhood=2, nucleus_size=2, probe_topics=4)
    everything = np.arange(len(tiny_corpus.graph), dtype=np.int32)
    planted = everything % 5 == 0
    task = Task("noisy", "Anything.", tiny_corpus, config, "mean-prediction-gain", everything, planted)
    ids = indexed_passages(tiny_corpus)
    embedded = FaissRetriever(ids, fake_embeddings[tiny_corpus.topics[ids]]), fake_embeddings
    research = Researcher(tiny_corpus, *embedded, config.neighbourhood)
    monkeypatch.setattr(runner, "_made", lambda *names: (task, embedded, research))
    agents.register("crashing")(Crashing)
    yield
    del agents._factories["crashing"]


def cells(*named: str, seeds: int = 2) -> list[Cell]:
    return [Cell("noisy", "tiny", "scratch", agent, seed) for seed in range(seeds) for agent in named]


def run(named: list[Cell], out: Path) -> list[Cell]:
    return list(run_cells(named, out, SerialExecutor()))


def test_what_is_finished_is_not_carried_out_again(tmp_path: Path) -> None:
    run(cells("random", seeds=1), tmp_path)
    path = tmp_path / "noisy/tiny/scratch/random/0.json"
    first = path.stat().st_mtime_ns
    assert len(run(cells("random", "bfs"), tmp_path)) == 4
    assert path.stat().st_mtime_ns == first
    assert len(read_rows(tmp_path)) == 4


def test_a_row_has_the_curve_and_the_curriculum_is_beside_it(tmp_path: Path) -> None:
    run(cells("random", seeds=1), tmp_path)
    (row,) = read_rows(tmp_path)
    steps = pq.read_table(tmp_path / "noisy/tiny/scratch/random/0.parquet").to_pylist()
    assert row["curve"][0][0] == 0
    assert row["curve"][-1][0] == row["tokens"] == sum(step["tokens"] for step in steps)
    assert len(steps) == row["expansions"]
    assert steps[1]["title"]
    assert 0 <= row["noise_share"] <= 1
    assert sum(row["seconds"][phase] for phase in ("learn", "probe", "exam")) <= row["seconds"]["all"]


def test_an_agent_that_crashes_fails_its_own_cells_alone(tmp_path: Path) -> None:
    run(cells("crashing", "random"), tmp_path)
    rows = read_rows(tmp_path)
    assert failures(rows) == [
        f"noisy/tiny/scratch/crashing/{seed}: ZeroDivisionError: one over nothing" for seed in range(2)
    ]
    assert {row["agent"] for row in compare(rows)} == {"random"}


def test_a_folder_of_another_version_or_corpus_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [("noisy", "tiny")]
    check_folder(tmp_path, places)
    check_folder(tmp_path, places)
    path = tmp_path / "about.json"
    about = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**about, "corpora": {"noisy/tiny": "changed"}}), encoding="utf-8")
    with pytest.raises(DataError, match="another 'tiny'"):
        check_folder(tmp_path, places)
    path.write_text(json.dumps({**about, "version": "0.0.0"}), encoding="utf-8")
    with pytest.raises(DataError, match=r"kgrl 0\.0\.0"):
        check_folder(tmp_path, places)


def test_an_empty_folder_says_how_results_are_made(tmp_path: Path) -> None:
    with pytest.raises(KgrlError, match="kgrl bench"):
        read_rows(tmp_path)


def made_up(agent: str, seed: int, losses: list[float], **more: Any) -> dict[str, Any]:
    curve = [(100 * i, loss) for i, loss in enumerate(losses)]
    place = {"task": "noisy", "corpus": "tiny", "learner": "scratch", "agent": agent, "seed": seed}
    figures = {"status": "finished", "curve": curve, "tokens": curve[-1][0], "aulc": float(np.mean(losses))}
    return {**place, **figures, "noise_share": None, **more}


def test_agents_are_compared_with_random_seed_by_seed() -> None:
    rows = [made_up("random", seed, [5.0 + seed, 4.0 + seed, 3.0 + seed]) for seed in range(4)]
    rows += [made_up("good", seed, [5.0 + seed, 3.0 + seed, 2.0 + seed + seed / 100]) for seed in range(4)]
    good, random = compare(rows)
    assert (good["agent"], good["verdict"], good["pairs"]) == ("good", "better", 4)
    assert good["speedup"] == pytest.approx(2.0)
    assert good["speedup_low"] == pytest.approx(2.0)
    assert (random["verdict"], random["difference"]) == ("not distinguishable", 0.0)


def test_unpaired_seeds_are_left_out_and_none_in_common_is_said() -> None:
    rows = [made_up("random", 0, [5.0, 3.0]), made_up("a", 1, [5.0, 2.0]), made_up("b", 0, [5.0, 2.0])]
    a, b, _ = compare(rows)
    assert (a["verdict"], a["speedup"], a["pairs"], a["seeds"]) == ("missing", None, 0, 1)
    assert (b["verdict"], b["pairs"], b["difference_low"]) == ("not distinguishable", 1, None)
    assert "two seeds" in b["sentence"]


def test_a_run_that_never_reaches_the_target_is_counted() -> None:
    rows = [made_up("random", seed, [5.0, 3.0]) for seed in range(2)]
    rows += [made_up("slow", seed, [5.0, 4.0 - seed / 10]) for seed in range(2)]
    slow = compare(rows)[1]
    assert (slow["verdict"], slow["censored"], slow["speedup_low"]) == ("worse", 2, 0.0)
