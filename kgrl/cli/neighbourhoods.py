"""`kgrl neighbourhoods`: one adapter for each community of the topic graph, trained side by side."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kgrl.cli.output import show_facts, show_table

if TYPE_CHECKING:
    from kgrl.corpus import Corpus, Passages
    from kgrl.graph.topic_graph import IntArray
    from kgrl.learners.neighbourhoods.interference import Interference

__all__ = ["NeighbourhoodsCommand"]

_MEASURED = 16
"""Exam passages that each neighbourhood is measured on at most, one a topic."""


@dataclass(frozen=True)
class NeighbourhoodsCommand:
    """Train one adapter for each community of the topic graph, and measure what they do to one another.

    Communities are parts of the graph that are densely linked within. All adapters start from the same weights and are
    trained at the same time, each on text of its own community. Then every adapter is measured on held-out passages of
    every community. `kgrl merge` composes them.

    Args:
        corpus: The corpus: a name such as vital, wikispeedia or invented:2000, or a folder.
        root: Folder of the corpus's source files, for corpora that are read from some.
        model: smollm2, a Hugging Face causal model by name, or a folder.
        communities: Number of communities.
        tokens: Most tokens to train each adapter on.
        rank: Rank of the adapters.
        seed: Seeds the communities, the adapters' initial weights and the order of passages.
        executor: Where adapters are trained: process (processes of this machine), ray, or serial (in this process).
        workers: Adapters trained at a time, with one thread each.
        out: Folder for the adapters and the picture of their interference. A training that was interrupted goes on.
        json: File to write the result to, as one JSON object.
    """

    corpus: str = "vital"
    root: Path | None = None
    model: str = "smollm2"
    communities: int = 8
    tokens: int = 3_000
    rank: int = 8
    seed: int = 0
    executor: Literal["process", "ray", "serial"] = "process"
    workers: int = 2
    out: Path = Path("runs/neighbourhoods")
    json: Path | None = None

    def run(self) -> dict[str, Any]:
        """Train, measure, draw, print and return the figures.

        Raises:
            KgrlError: If a name is unknown or a number senseless, the graph falls into fewer communities, or the folder
                holds adapters trained with other settings.
        """
        from kgrl.data.load import load_corpus
        from kgrl.graph.communities import communities
        from kgrl.learners.neighbourhoods.training import train_neighbourhoods
        from kgrl.report.interference import draw_interference

        corpus = load_corpus(self.corpus, root=self.root)
        partition = communities(corpus.graph, self.communities, self.seed)
        trained = train_neighbourhoods(
            corpus,
            partition,
            self.out,
            tokens=self.tokens,
            options={"model": self.model, "rank": self.rank, "alpha": 2 * self.rank},
            seed=self.seed,
            executor=self.executor,
            workers=self.workers,
        )
        names = [_named(corpus, partition, result.community) for result in trained]
        measured = self._measure(corpus, partition, [result.name for result in trained])
        picture = self.out / "interference.png"
        draw_interference(picture, measured, names)
        rows = [
            {**asdict(result), "about": name, "topics": int((partition == result.community).sum())}
            | {"loss_untaught": float(measured.losses[-1, at]), "loss_taught": float(measured.losses[at, at])}
            for at, (result, name) in enumerate(zip(trained, names, strict=True))
        ]
        columns = ("name", "about", "topics", "tokens", "loss_untaught", "loss_taught")
        show_table("Neighbourhoods", columns, [[row[column] for column in columns] for row in rows])
        show_facts("", [("adapters", self.out / "adapters"), ("interference", picture)])
        return {
            "corpus": corpus.name,
            "neighbourhoods": rows,
            "interference": measured.losses.tolist(),
            "picture": str(picture),
        }

    def _measure(self, corpus: Corpus, partition: IntArray, names: list[str]) -> Interference:
        """Measure every adapter on exam passages of every neighbourhood."""
        from kgrl.learners.adapters.folder import read_adapter
        from kgrl.learners.decoder.lora import LoraLearner
        from kgrl.learners.neighbourhoods.interference import interference

        learner = LoraLearner(corpus, model=self.model, rank=self.rank, alpha=2 * self.rank)
        adapters = [read_adapter(self.out / "adapters" / name) for name in names]
        return interference(learner, adapters, [self._held_out(corpus, partition, at) for at in range(len(names))])

    def _held_out(self, corpus: Corpus, partition: IntArray, community: int) -> Passages:
        """The first exam passage of some topics of a community, drawn by the seed."""
        import numpy as np

        from kgrl.corpus import Split
        from kgrl.probes.prober import sample_topics

        topics = np.flatnonzero(partition == community).astype(np.int32)
        sample = sample_topics(corpus, Split.EXAM, _MEASURED, self.seed, topics)
        return corpus.select(corpus.first_ids(Split.EXAM)[sample])


def _named(corpus: Corpus, partition: IntArray, community: int) -> str:
    """The title of a community's topic with the most links."""
    import numpy as np

    topics = np.flatnonzero(partition == community)
    return str(corpus.graph.titles[topics[corpus.graph.degree[topics].argmax()]])
