"""Runs made by hand for tests of the viewer: any graph, any titles, written as a run writes itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from kgrl.corpus import Corpus
from kgrl.expansion import Expansion, Measurement
from kgrl.graph import Frontier, TopicGraph
from kgrl.runs.choices import Choice
from kgrl.viewer import ShownRun, ViewerServer

__all__ = ["MadeRun", "made_corpus", "serving"]


def made_corpus(titles: Sequence[str], links: int, seed: int = 0) -> Corpus:
    """A corpus with random links in communities and one passage a topic, which names it."""
    rng, n = np.random.default_rng(seed), len(titles)
    sources = np.concatenate([np.arange(n), rng.integers(0, n, links - n)])
    near = np.rint(rng.standard_cauchy(links) * 12).astype(int)
    targets = np.concatenate([(np.arange(n) + 1) % n, (sources[n:] + near[n:]) % n])
    graph = TopicGraph.from_links(titles, sources, targets)
    return Corpus("made", graph, [f"All about {title}." for title in titles], np.arange(n), np.zeros(n, dtype=int))


class MadeRun:
    """A run that grows by one expansion whenever it is told to."""

    def __init__(self, folder: Path, corpus: Corpus, seed: int = 0, neighbourhood: int = 3) -> None:
        self.folder, self.corpus, self.size = folder, corpus, neighbourhood
        self.frontier, self.rng = Frontier(corpus.graph), np.random.default_rng(seed)
        self.loss = 4 + self.rng.random(len(corpus.graph))
        self.expansions: list[Expansion] = []
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text("agent: made\ncorpus: made\nseed: 0\n")
        for name in ("choices", "curriculum", "metrics"):
            (folder / f"{name}.jsonl").write_text("")

    def grow(self, steps: int = 1) -> None:
        for _ in range(steps):
            self._expand()

    def finish(self) -> None:
        (self.folder / "result.json").write_text("{}")

    def _expand(self) -> None:
        index, candidates = len(self.expansions), self.frontier.topics
        if index:
            chances = self.rng.dirichlet(np.ones(len(candidates)))
            topics = candidates[self.rng.permutation(len(candidates))[: self.size]].tolist()
            self._append("choices", Choice.of(index, topics[0], candidates, chances).to_json())
        else:
            topics = list(range(self.size))
        before = self.loss.copy()
        self.loss[topics] -= 1.5
        self.loss -= 0.05 * self.rng.random(len(self.loss))
        probed = [*topics, *range(0, len(self.loss), max(1, len(self.loss) // 24))]
        probe = Measurement(tuple(probed), tuple(before[probed].tolist()), tuple(self.loss[probed].tolist()))
        parts = {"mean-prediction-gain": 0.25, "incoherence-penalty": -0.125}
        expansion = Expansion(
            index=index,
            topic=topics[0],
            title=self.corpus.graph.titles[topics[0]],
            neighbourhood=tuple(topics),
            passages=tuple(topics),
            tokens=100,
            tokens_total=100 * (index + 1),
            budget=100_000,
            train_loss=float(before[topics].mean()),
            probes={"mean": probe},
            reward=0.1875,
            reward_components=parts,
        )
        for topic in topics:
            self.frontier.solidify(topic)
        self.expansions.append(expansion)
        self._append("curriculum", expansion.to_json())
        figures = {"index": index, "tokens": expansion.tokens_total, "exam_loss": float(self.loss.mean())}
        self._append("metrics", json.dumps(figures))

    def _append(self, name: str, line: str) -> None:
        with (self.folder / f"{name}.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")


@contextmanager
def serving(*runs: MadeRun) -> Iterator[ViewerServer]:
    """Serve runs until the block ends."""
    with ViewerServer([ShownRun(run.folder, run.corpus) for run in runs]) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
