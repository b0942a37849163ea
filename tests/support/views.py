"""Views of tiny graphs, made by hand, and what agents pick from them."""

from __future__ import annotations

import numpy as np

from kgrl.agents import Agent, View, make_agent
from kgrl.curriculum.state import LossProfile
from kgrl.graph import Frontier, TopicGraph

__all__ = ["make_view", "picks"]


def make_view(
    links: list[tuple[int, int]], learned: list[int], embeddings: dict[int, list[float]] | None = None
) -> View:
    n = 1 + max(max(link) for link in links)
    graph = TopicGraph.from_links([str(i) for i in range(n)], [a for a, _ in links], [b for _, b in links])
    vectors = np.tile(np.array([1.0, 0.0], dtype=np.float32), (n, 1))
    for topic, vector in (embeddings or {}).items():
        vectors[topic] = vector
    return View(
        graph=graph,
        frontier=Frontier(graph, learned),
        nucleus=np.array(learned, dtype=np.int32),
        goal=None,
        profile=LossProfile(n),
        embeddings=vectors,
        trainable=np.ones(n, dtype=bool),
        tokens=0,
        budget=100,
        index=1,
        rng=np.random.default_rng(0),
        measure=lambda topics: np.asarray(topics, dtype=np.float32),
    )


def picks(agent: str | Agent, view: View, times: int = 200) -> dict[int, int]:
    """How often an agent picks each topic when asked again and again."""
    made = make_agent(agent)
    made.reset(view)
    topics, counts = np.unique([made.choose(view) for _ in range(times)], return_counts=True)
    return dict(zip(topics.tolist(), counts.tolist(), strict=True))
