"""Measure how long a fork takes (snapshot and restoring of SmolLM2's adapter and optimizer), and whether it is exact.

    python benchmarks/fork.py --json docs/results/fork.json

The learner has rank 8 and a few updates behind it. Between snapshot and restoring it learns a block, as a fork does, so
that the copied tensors are not in the processor's caches. It takes about a minute.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kgrl.corpus import Passages, Split
from kgrl.data import load_corpus
from kgrl.learners import LoraLearner
from kgrl.system.files import write_json

RANK, UPDATES, REPEATS, PROBES = 8, 4, 25, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    corpus = load_corpus("vital")
    learner = LoraLearner(corpus, rank=RANK)
    train = corpus.select(np.flatnonzero(corpus.splits == Split.TRAIN)[:100])
    probes = corpus.select(np.flatnonzero(corpus.splits == Split.PROBE)[:PROBES])
    learner.learn(train, UPDATES * learner.block_tokens)
    figures = measure(learner, train, probes)
    for name, value in figures.items():
        print(f"{name}: {value}")
    if arguments.json:
        write_json(arguments.json, figures)


def measure(learner: LoraLearner, train: Passages, probes: Passages) -> dict[str, Any]:
    """Return milliseconds, and whether losses after every restoring, and after learning again from it, are the same."""
    losses = learner.losses(probes)
    snapshots, restores, exact = [], [], []
    learned_first = None
    for _ in range(REPEATS):
        began = time.perf_counter()
        snapshot = learner.snapshot()
        snapshots.append(time.perf_counter() - began)
        learned = learner.learn(train, learner.block_tokens), learner.losses(probes).tolist()
        learned_first = learned_first or learned  # every fork starts from the same state, so all learn the same
        began = time.perf_counter()
        learner.restore(snapshot)
        restores.append(time.perf_counter() - began)
        # Exact only counts if the lesson changed anything that had to be put back.
        changed = learned[1] != losses.tolist()
        exact.append(changed and learned == learned_first and np.array_equal(learner.losses(probes), losses))
    return {
        "round_trip_ms": 1e3 * float(np.median(np.add(snapshots, restores))),
        "bit_exact": all(exact),
        "snapshot_ms": 1e3 * float(np.median(snapshots)),
        "restore_ms": 1e3 * float(np.median(restores)),
        "slowest_round_trip_ms": 1e3 * float(np.max(np.add(snapshots, restores))),
        "repeats": REPEATS,
        "rank": learner.rank,
        "trained_weights": learner.weights.numel(),
        "dtype": str(learner.model.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    main()
