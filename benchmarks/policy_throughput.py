"""Measure how many candidate sets per second the curiosity policy scores and learns from, and features are made for.

    python benchmarks/policy_throughput.py --json docs/results/policy_throughput.json

A set is 64 candidates. The graph is random, with 5,000 topics and 30 links each; weights do not matter for speed.
It takes about ten seconds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from kgrl.agents.policy.network import CandidateScorer, load_policy
from kgrl.agents.pretraining.batches import tensors
from kgrl.builtin import FOLDER
from kgrl.envs.features.space import observe_walks
from kgrl.envs.features.walk_features import Walks
from kgrl.envs.features.walk_tables import walk_tables
from kgrl.graph import TopicGraph
from kgrl.system.files import write_json
from kgrl.traces import SEEN, STACK

TOPICS, LINKS, SLOTS, SETS, REPEATS = 5_000, 30, 64, 256, 24


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    ends = rng.integers(TOPICS, size=(2, TOPICS * LINKS))
    graph = TopicGraph.from_links([str(topic) for topic in range(TOPICS)], *ends)
    vectors = rng.normal(size=(TOPICS, 384)).astype(np.float32)
    tables = walk_tables(graph, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    walks, candidates, links = _situations(graph, rng)
    observation = observe_walks(tables, walks, candidates, links)
    scorer, _ = load_policy(FOLDER)
    shown = tensors(observation)
    with torch.inference_mode():
        network = _sets_per_second(lambda: scorer(shown))
    member = scorer.apart()[0]  # training is that of one network, and not of the committee
    training = _sets_per_second(lambda: _learn(member, shown))
    features = _sets_per_second(lambda: observe_walks(tables, walks, candidates, links))
    figures = {
        "network_sets_per_second": round(network),
        "training_sets_per_second": round(training),
        "features_sets_per_second": round(features),
        "both_sets_per_second": round(1 / (1 / network + 1 / features)),
        "candidates": SLOTS,
        "parameters": sum(weights.numel() for weights in scorer.parameters()),
        "members": len(scorer.members),
        "threads": torch.get_num_threads(),
    }
    for name, value in figures.items():
        print(f"{name}: {value:,}")
    if arguments.json:
        write_json(arguments.json, figures)


def _learn(scorer: CandidateScorer, shown: dict[str, torch.Tensor]) -> None:
    """Make the gradients of all weights, by the first slot's score and the value."""
    scorer.zero_grad()
    logits, values = scorer(shown)
    (logits[:, 0] + values).sum().backward()


def _situations(graph: TopicGraph, rng: np.random.Generator) -> tuple[Walks, np.ndarray, np.ndarray]:
    """Return readers on random pages, and random candidates, half of them links of the page where it has that many."""
    stack = rng.integers(TOPICS, size=(SETS, STACK), dtype=np.int32)
    seen = np.concatenate([rng.integers(TOPICS, size=(SETS, SEEN - STACK), dtype=np.int32), stack], axis=1)
    fixed = np.full(SETS, STACK, dtype=np.int32)
    walks = Walks(stack, seen, seen[:, 0], fixed, np.full(SETS, -1, dtype=np.int32), np.zeros(SETS, dtype=np.int32))
    candidates = np.empty((SETS, SLOTS), dtype=np.int32)
    for row, page in enumerate(stack[:, -1].tolist()):
        out = graph.out(page)[: SLOTS // 2]
        others = np.setdiff1d(np.arange(TOPICS, dtype=np.int32), out)
        candidates[row] = [*out, *rng.choice(others, SLOTS - len(out), replace=False)]
    pages = np.repeat(stack[:, -1], SLOTS)
    return walks, candidates, graph.positions(pages, candidates.ravel()).reshape(SETS, SLOTS)


def _sets_per_second(work: Callable[[], object]) -> float:
    work()  # compiles
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return SETS / float(np.median(seconds))


if __name__ == "__main__":
    main()
