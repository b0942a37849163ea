"""`kgrl neighbourhoods`: one adapter for each community of the topic graph, trained side by side."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from kgrl.cli.arguments import JsonFile, default_is
from kgrl.cli.output import show_facts, show_table

if TYPE_CHECKING:
    from kgrl.corpus import Corpus, Passages
    from kgrl.graph.topic_graph import IntArray
    from kgrl.learners.neighbourhoods.interference import Interference

__all__ = ["NeighbourhoodsCommand"]

_MEASURED = 16
"""Most exam passages that each neighbourhood is measured on, one per topic."""


@dataclass(frozen=True)
class NeighbourhoodsCommand:
    """Train one LoRA adapter for each community of the topic graph, and measure their effect on one another.

    A community is a densely linked part of the graph. All adapters start from the same weights and are trained side by
    side, each on text of its own community. Then every adapter is measured on held-out passages of every community.
    `kgrl merge` composes them.

    Args:
        corpus: Corpus: a name that `kgrl info` lists, an invented world such as invented:2000 (2,000 topics), or a
            folder.
        root: Folder of the source files of a corpus that kgrl does not bring or download.
        model: Model: smollm2 (SmolLM2-135M), a Hugging Face causal model, or a folder.
        communities: Number of communities.
        tokens: Most tokens to train each adapter on.
        rank: Rank of the adapters.
        seed: Random seed of the communities, the initial weights and the order of passages.
        executor: Place to train adapters: process (processes of this machine), ray, or serial (this process).
        workers: Adapters trained at a time, with one thread each.
        out: Folder for the adapters and the picture of their interference. An interrupted training continues there.
        json: File for the figures, as one JSON object.
    """

    corpus: str = "vital"
    root: Annotated[Path | None, default_is("none", "FOLDER")] = None
    model: str = "smollm2"
    communities: int = 8
    tokens: int = 3_000
    rank: int = 8
    seed: int = 0
    executor: Literal["process", "ray", "serial"] = "process"
    workers: int = 2
    out: Path = Path("runs/neighbourhoods")
    json: JsonFile = None

    def run(self) -> dict[str, Any]:
        """Train, measure, draw, print and return the figures.

        Raises:
            KgrlError: If a name is unknown or a number out of range, the graph falls into fewer communities, or the
                folder holds adapters trained with other settings.
        """
        from kgrl.data.load import load_corpus
        from kgrl.graph.communities import find_communities
        from kgrl.learners.neighbourhoods.training import train_neighbourhoods
        from kgrl.report.interference import draw_interference

        corpus = load_corpus(self.corpus, root=self.root)
        partition = find_communities(corpus.graph, self.communities, self.seed)
        trained = train_neighbourhoods(
            corpus,
            partition,
            self.out,
            tokens=self.tokens,
            # An adapter's output is multiplied by alpha / rank, here 2 for every rank, as `LoraLearner` has it.
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
            # The last row of losses is of the model without an adapter.
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

        # One learner wears the adapters in turn, so that the base model is in memory once.
        learner = LoraLearner(corpus, model=self.model, rank=self.rank, alpha=2 * self.rank)
        adapters = [read_adapter(self.out / "adapters" / name) for name in names]
        return interference(learner, adapters, [self._held_out(corpus, partition, at) for at in range(len(names))])

    def _held_out(self, corpus: Corpus, partition: IntArray, community: int) -> Passages:
        """Return the first exam passage of some topics of a community, drawn by the seed."""
        import numpy as np

        from kgrl.corpus import Split
        from kgrl.probes.prober import sample_topics

        topics = np.flatnonzero(partition == community).astype(np.int32)
        sample = sample_topics(corpus, Split.EXAM, _MEASURED, self.seed, topics)
        return corpus.select(corpus.first_ids(Split.EXAM)[sample])


def _named(corpus: Corpus, partition: IntArray, community: int) -> str:
    """Return the title of the community's topic with the most links."""
    import numpy as np

    topics = np.flatnonzero(partition == community)
    return str(corpus.graph.titles[topics[corpus.graph.degree[topics].argmax()]])
