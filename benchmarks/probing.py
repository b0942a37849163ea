"""Measure the cost of probing as a share of training, and the noise of the default reward, as it was and as it is.

    OMP_NUM_THREADS=1 python benchmarks/probing.py --json docs/results/probing.json

The share: `kgrl run` with some agents and the scratch learner, as it is without further arguments, and with a longer
budget. The count is that of floating-point operations: 2 for each weight and token read (a forward pass), 6 for each
token trained on (forward and backward). `probe_share` is probing divided by training: a third means a quarter of the
run. `before` is the same run with the default reward measured for every agent on 24 topics drawn alike; `now` is the
run as it is. Agents that read probes and those that do not are listed over the whole registry.

The noise: learners are taught by `random` up to some expansion; from there each of some candidates is learned on a
fork. A population of passages, far more than a reward reads, is measured before and after. The reward's noise is the
mean square of its estimate minus the population's mean gain, over draws of its topics. Of each way of estimating,
`noise_ratio` is its noise divided by that of 24 topics drawn alike:

    light      the sample of `kgrl run`: 20 topics of `kgrl.probes.light_sample`
    unbalanced the same, but the first draw instead of the one whose words are nearest to all passages'
    fewer      topics drawn alike, as many as the tokens of `light` allow

Said before measuring: `light` counts if its ratio is at most 1.1 and the share at most a third. Intervals are 95%
bootstraps over seeds and candidates. It takes about ten minutes of one core.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from kgrl.agents import agents, make_agent
from kgrl.agents.base import reads_probes
from kgrl.cli.run import RunCommand
from kgrl.cli.setting import NO_REWARD
from kgrl.corpus import Corpus, Split
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.curriculum.config import DEFAULT_REWARD
from kgrl.data import load_corpus
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray
from kgrl.learners import ScratchLearner
from kgrl.probes import light_sample as light
from kgrl.probes.prober import sample_topics
from kgrl.system.files import write_json

FORWARD, TRAINING = 2, 6
"""Floating-point operations for each weight and token, read and trained on (Kaplan et al. 2020)."""
DRAWS = 200
"""Draws of topics whose estimates the noise is taken over."""
STAGES = {"early": 2, "at 10": 10, "at 40": 40, "late": 150}
"""Expansions before the forks; a run of `kgrl run` as it is has 21."""

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Probing:
    """Count the cost of probing and measure the noise of rewards.

    Args:
        corpus: The corpus.
        agents: Agents whose runs are counted.
        long: Agents whose longer runs are counted.
        budget: Tokens of a longer run.
        seeds: Number of learners that are forked.
        candidates: Number of candidates learned on forks at each stage.
        population: Number of passages that stand for all.
        json: File for the figures.
    """

    corpus: str = "vital"
    agents: tuple[str, ...] = ("closure", "random", "curiosity", "alp", "exp3s")
    long: tuple[str, ...] = ("alp", "alp-gmm")
    budget: int = 300_000
    seeds: int = 3
    candidates: int = 5
    population: int = 240
    json: Path | None = None


def main(command: Probing) -> None:
    corpus = load_corpus(command.corpus)
    shares = {name: shares_of(name, command.corpus, corpus, None) for name in command.agents}
    long = {name: shares_of(name, command.corpus, corpus, command.budget) for name in command.long}
    ignoring = sorted(name for name in agents if not reads_probes(make_agent(name)))
    population = sample_topics(corpus, Split.PROBE, command.population, seed=1)
    found = [fork for seed in range(command.seeds) for fork in forks(corpus, seed, population, command.candidates)]
    samples = draw_samples(corpus, population)
    figures = {
        "probe_share": shares,
        f"probe_share_{command.budget}": long,
        "agents_that_read_probes": sorted(set(agents) - set(ignoring)),
        "agents_that_do_not": ignoring,
        "reward_noise_ratio": {stage: noise([f for f in found if f.stage == stage], samples) for stage in STAGES},
        "setting": {"corpus": command.corpus, "seeds": command.seeds, "candidates": command.candidates},
    }
    show(figures, command.budget)
    if command.json:
        write_json(command.json, figures)


def shares_of(agent: str, named: str, corpus: Corpus, budget: int | None) -> dict[str, Any]:
    """Return probing's operations over training's in a run as it was and as it is."""
    command = RunCommand(corpus=named, learner="scratch", agent=agent, budget_tokens=budget)
    now = command.curriculum_config()
    ways = {"before": (DEFAULT_REWARD, CurriculumConfig(now.budget_tokens)), "now": (command.reward_name, now)}
    runs = {way: Curriculum.make(corpus, "scratch", *setting).run(make_agent(agent)) for way, setting in ways.items()}
    return {**{way: share(list(steps)) for way, steps in runs.items()}, "reward": command.reward_name or NO_REWARD}


def share(steps: Sequence[Expansion]) -> float:
    """Return the operations of probing over those of training."""
    read, trained = sum(step.probe_tokens for step in steps), sum(step.tokens for step in steps)
    return FORWARD * read / (TRAINING * trained)


@dataclass(frozen=True)
class Fork:
    """The effect of one trial expansion on a population of passages.

    Args:
        stage: The stage of the learner.
        gains: Drop of each passage's loss, `[passages]`.
        tokens: Tokens of each passage, `[passages]`.
    """

    stage: str
    gains: Floats
    tokens: NDArray[np.int64]


def forks(corpus: Corpus, seed: int, population: IntArray, candidates: int) -> Iterator[Fork]:
    """Teach a learner, and yield what some candidates would do to it at each stage."""
    learner = ScratchLearner(corpus, seed=seed)
    curriculum = Curriculum.make(corpus, learner, None, CurriculumConfig(budget_tokens=1_000_000, seed=seed))
    passages = corpus.select(corpus.first_ids(Split.PROBE)[population])
    tokens = learner.count_tokens(passages)
    for step in curriculum.run(make_agent("random")):
        for stage in [name for name, at in STAGES.items() if at == step.index]:
            before, snapshot = learner.losses(passages), learner.snapshot()
            for topic in np.random.default_rng(seed).permutation(curriculum.view.candidates)[:candidates]:
                lesson = curriculum.teacher.lesson(int(topic))
                learner.learn(lesson.passages, lesson.allowance)
                gains = before.astype(np.float64) - learner.losses(passages)
                learner.restore(snapshot)
                yield Fork(stage, gains, tokens)
        if step.index >= max(STAGES.values()):
            break


Sample = tuple[NDArray[np.int64], Floats]
"""Rows of the population, and their weights."""


def draw_samples(corpus: Corpus, population: IntArray) -> dict[str, list[Sample]]:
    """Draw samples in each way but `fewer`, whose size depends on the learner's tokens."""
    size, rng = RunCommand().curriculum_config().probe_topics, np.random.default_rng(0)
    alike = CurriculumConfig().probe_topics
    samples: dict[str, list[Sample]] = {
        "alike": [(rng.permutation(len(population))[:alike], np.ones(alike)) for _ in range(DRAWS)]
    }
    for way, choices in (("light", light.DRAWS), ("unbalanced", 1)):
        drawn = [light.light_sample(corpus, size, seed, population, draws=choices) for seed in range(DRAWS)]
        samples[way] = [(np.searchsorted(population, topics), np.array(weights)) for topics, weights in drawn]
    return samples


def noise(found: Sequence[Fork], samples: dict[str, list[Sample]]) -> dict[str, Any]:
    """Return the noise of all estimates over that of 24 topics drawn alike, tokens and reliability, at one stage."""
    tokens = {way: float(np.mean([found[0].tokens[rows].sum() for rows, _ in drawn])) for way, drawn in samples.items()}
    fewer = round(len(samples["alike"][0][0]) * tokens["light"] / tokens["alike"])
    ways = {**samples, "fewer": [(rows[:fewer], weights[:fewer]) for rows, weights in samples["alike"]]}
    errors = {way: [squared(fork.gains, drawn) for fork in found] for way, drawn in ways.items()}
    signal = float(np.var([fork.gains.mean() for fork in found]))
    return {
        "noise_ratio": {way: ratio(errors[way], errors["alike"]) for way in ("light", "unbalanced", "fewer")},
        "reliability": {way: signal / (signal + float(np.mean(errors[way]))) for way in ("alike", "light")},
        "tokens": tokens["light"] / tokens["alike"],
        "forks": len(found),
    }


def squared(gains: Floats, drawn: Sequence[Sample]) -> float:
    """Return the mean squared error of the estimates of a mean gain."""
    estimates = [np.average(gains[rows], weights=weights) for rows, weights in drawn]
    return float(np.mean((np.array(estimates) - gains.mean()) ** 2))


def ratio(own: Sequence[float], full: Sequence[float]) -> list[float]:
    """Return the ratio of two mean errors with its 95% interval, a bootstrap over forks: ratio, low, high."""
    pairs = np.array([own, full])  # [2, forks]
    rng = np.random.default_rng(0)
    drawn = pairs[:, rng.integers(pairs.shape[1], size=(2_000, pairs.shape[1]))].mean(-1)  # [2, draws]
    low, high = np.percentile(drawn[0] / drawn[1], (2.5, 97.5))
    return [float(pairs[0].mean() / pairs[1].mean()), float(low), float(high)]


def show(figures: dict[str, Any], budget: int) -> None:
    """Print both tables."""
    console = Console()
    table = Table("agent", "budget", "reward", "probing over training, before", "now")
    for name, key in (("20,000", "probe_share"), (f"{budget:,}", f"probe_share_{budget}")):
        for agent, row in figures[key].items():
            table.add_row(agent, name, row["reward"], f"{row['before']:.3f}", f"{row['now']:.3f}")
    console.print(table)
    table = Table("stage", "reliability before", "now", "tokens", "light", "unbalanced", "fewer", title="Noise")
    for stage, row in figures["reward_noise_ratio"].items():
        cells = [f"{r:.2f} ({low:.2f} to {high:.2f})" for r, low, high in row["noise_ratio"].values()]
        reliable = [f"{row['reliability'][way]:.2f}" for way in ("alike", "light")]
        table.add_row(stage, *reliable, f"{row['tokens']:.2f}", *cells)
    console.print(table)


if __name__ == "__main__":
    main(tyro.cli(Probing))
