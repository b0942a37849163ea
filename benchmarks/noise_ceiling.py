"""Measure how much avoiding planted topics can gain on `noisy`: `iid`, told which topics are planted, against random.

    python benchmarks/noise_ceiling.py --out FOLDER --json docs/results/noise_ceiling.json

The result of `told` is the most that a filter before uniform draws can gain; it does not bound agents that choose by
other things. Cells of `random` and `iid` are those of docs/results/benchmark_cells.parquet. Finished cells are not
repeated. The ten cells of `told` take about five minutes of one core.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tyro
from benchmark_archive import read_archive

from kgrl.agents import agents, make_agent
from kgrl.agents.base import BaseAgent
from kgrl.benchmark.comparison import compare
from kgrl.benchmark.runner import Cell, read_rows, run_cells
from kgrl.curriculum.view import View
from kgrl.data import load_corpus
from kgrl.graph.topic_graph import IntArray
from kgrl.system.executors import executors
from kgrl.system.files import write_json

CELLS = Path("docs/results/benchmark_cells.parquet")
CORPORA = ("vital", "wikispeedia")
AGENTS = ("random", "iid", "told")


class Told(BaseAgent):
    """An agent that draws uniformly from the passages of real topics, whose numbers are below those of planted ones.

    Args:
        real: Number of real topics of each corpus, by the number of all its topics.
    """

    frontier_only = False
    reads_passages = True

    def __init__(self, real: dict[int, int]) -> None:
        self.real, self.iid = real, make_agent("iid")

    def choose(self, view: View) -> IntArray:
        """Return all unread passages of real topics in an order drawn uniformly."""
        order = self.iid.choose(view)
        assert not isinstance(order, int)
        return order[view.passage_topics[order] < self.real[len(view.graph)]]


@dataclass(frozen=True)
class Ceiling:
    """Carry out the cells and compare them.

    Args:
        out: Folder that keeps the result of each cell.
        json: File for the comparison.
        seeds: Number of seeds on each corpus.
    """

    out: Path
    json: Path
    seeds: int = 5


def main(command: Ceiling) -> None:
    agents.register("told")(partial(Told, real_topics()))
    read_archive(CELLS, command.out)
    cells = [
        Cell("noisy", c, "scratch", a, s, encoder="minilm")
        for s in range(command.seeds)
        for c in CORPORA
        for a in AGENTS
    ]
    serial = executors.make("serial")  # other processes do not know the agent
    for row in run_cells(cells, command.out, serial):
        print(*(row[name] for name in ("corpus", "agent", "seed", "status")), flush=True)
    # The folder also has the other cells of the archive, which are no part of this comparison.
    keys = {(cell.task, cell.corpus, cell.learner, cell.agent, cell.seed) for cell in cells}
    named = ("task", "corpus", "learner", "agent", "seed")
    rows = compare([row for row in read_rows(command.out) if tuple(row[name] for name in named) in keys])
    write_json(command.json, {"rows": rows})
    for row in rows:
        print({name: row[name] for name in ("corpus", "agent", "pairs", "difference", "speedup", "speedup_low")})


def real_topics() -> dict[int, int]:
    """Return the number of real topics of each corpus, by the number of its topics with planted ones."""
    return {len(load_corpus(f"noisy:{name}").graph): len(load_corpus(name).graph) for name in CORPORA}


if __name__ == "__main__":
    main(tyro.cli(Ceiling))
