"""Draw the paths of three agents on the same graph, each of which follows another reward greedily.

    python benchmarks/reward_paths.py --png docs/results/reward_paths.png

The task is `noisy`. Topics lie at the first two principal components of their embeddings. One thread; each reward takes
some minutes, since every step tries four candidates on forks of the learner.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray

from kgrl.benchmark.tasks import Task, make_task
from kgrl.benchmark.traps import GreedyReward
from kgrl.curriculum import Curriculum
from kgrl.expansion import Expansion
from kgrl.learners import make_learner
from kgrl.retrieval import FaissRetriever, embed_corpus
from kgrl.retrieval.encoder import Encoder

REWARDS = ("mean-prediction-gain", "self-prediction-gain", "prediction-gain")
REAL, PLANTED, QUIET = "#d7dbe3", "#f3b3b0", "#626b7d"
Embedded = tuple[FaissRetriever, NDArray[np.float32]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rewards", nargs=3, default=REWARDS)
    parser.add_argument("--corpus", default="vital")
    parser.add_argument("--sample", type=int, default=4, help="candidates tried at a step")
    parser.add_argument("--png", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    mpl.use("Agg")
    task = make_task("noisy", arguments.corpus)
    embedded = embed_corpus(task.corpus, Encoder())
    places = layout(embedded[1])
    figure, axes = plt.subplots(1, 3, figsize=(15, 5.6), layout="constrained", sharex=True, sharey=True)
    for one, reward in zip(axes, arguments.rewards, strict=True):
        draw(one, reward, task, follow(task, embedded, reward, arguments.sample), places)
    figure.suptitle(
        f"Where three rewards lead on {arguments.corpus}, of which three topics in ten are planted", size=13
    )
    figure.savefig(arguments.png, dpi=110)


def follow(task: Task, embedded: Embedded, reward: str, sample: int) -> list[Expansion]:
    """Return the expansions of an agent that follows a reward; learner and seed are the same for all."""
    learner = make_learner("scratch", task.corpus, seed=0)
    curriculum = Curriculum(task.corpus, learner, *embedded, reward, replace(task.config, seed=0))
    return list(curriculum.run(GreedyReward(curriculum, sample)))


def layout(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the places of topics, `[topics, 2]`: their first two principal components."""
    centred = embeddings - embeddings.mean(axis=0)
    # The axes of a sample of 4,000 topics are those of all, in a fraction of the time.
    axes = np.linalg.svd(centred[:: max(1, len(centred) // 4_000)], full_matrices=False)[2][:2]
    return (centred @ axes.T).astype(np.float64)


def draw(axes: Axes, reward: str, task: Task, steps: list[Expansion], places: NDArray[np.float64]) -> None:
    """Draw all topics, the learned ones, and the path from pick to pick."""
    for which, colour in ((~task.planted, REAL), (task.planted, PLANTED)):
        axes.scatter(*places[which].T, s=2, color=colour, linewidths=0)
    learned = np.array([(topic, step.index) for step in steps for topic in step.neighbourhood])
    picks = places[[step.topic for step in steps[1:]]]
    axes.plot(*picks.T, color=QUIET, lw=0.8, alpha=0.6)
    shown = axes.scatter(*places[learned[:, 0]].T, c=learned[:, 1], cmap="viridis", s=16, linewidths=0)
    on_noise = picks[[bool(task.planted[step.topic]) for step in steps[1:]]]
    axes.scatter(*on_noise.T, s=70, facecolors="none", edgecolors="#c8102e", linewidths=1.4)
    share = task.noise_share(steps)
    axes.set_title(f"{reward}\n{share:.0%} of tokens on planted topics (picks circled)", size=10, loc="left")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    if reward == REWARDS[-1]:
        axes.figure.colorbar(shown, ax=axes, label="expansion", shrink=0.6)


if __name__ == "__main__":
    main()
