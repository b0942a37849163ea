"""Measure the cost of probing as a share of training, and the noise of the default reward, now and by cheaper ways.

    OMP_NUM_THREADS=1 python benchmarks/probing.py --json docs/results/probing.json

The share: `kgrl run` with some agents and the scratch learner, as it is without further arguments. The count is that of
floating-point operations: 2 for each weight and token read (a forward pass), 6 for each token trained on (forward and
backward). `probe_share` is probing divided by training. `before` is the same run with the default reward measured for
every agent, as `kgrl run` did; `now` is the run as it is. Agents of both kinds are counted over the whole registry.

The noise: learners are taught by `random` up to some expansion; from there each of some candidates is learned on a
fork. A population of passages, far more than a reward reads, is measured before and after. The reward's noise is the
variance of its estimate around the population's mean gain over draws of its topics. `reward_noise_ratio` is that of the
reward as it is now divided by that of the reward before; rewards that are measured at all are measured as before, and
the script checks that they are the same numbers. Three cheaper estimates show why no fewer probes are read:

    fewer      a quarter of the topics
    worded     a quarter of the topics, corrected for the words that they happen to hold: the mean loss would change by
               sum over words of (share in the sample - share in the population) times the mean log-probability
    balanced   as many topics as a quarter of the tokens allow, exchanged until their words have the population's shares

Intervals are 95% bootstraps over seeds and candidates. It takes about ten minutes of one core.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from kgrl.agents import agents, make_agent
from kgrl.agents.base import reads_probes
from kgrl.cli.run import RunCommand
from kgrl.cli.setting import NO_REWARD
from kgrl.corpus import Corpus, Passages, Split
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.curriculum.config import DEFAULT_REWARD
from kgrl.data import load_corpus
from kgrl.expansion import Expansion
from kgrl.learners import ScratchLearner
from kgrl.probes.prober import sample_topics
from kgrl.system.files import write_json

FORWARD, TRAINING = 2, 6
"""Floating-point operations for each weight and token, read and trained on (Kaplan et al. 2020)."""
QUARTER = 4
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
        seeds: Number of learners that are forked.
        candidates: Number of candidates learned on forks at each stage.
        population: Number of passages that stand for all.
        json: File for the figures.
    """

    corpus: str = "vital"
    agents: tuple[str, ...] = ("closure", "random", "curiosity", "alp")
    seeds: int = 3
    candidates: int = 5
    population: int = 240
    json: Path | None = None


def main(command: Probing) -> None:
    corpus = load_corpus(command.corpus)
    shares = {name: shares_of(name, command.corpus, corpus) for name in command.agents}
    ignoring = sorted(name for name in agents if not reads_probes(make_agent(name)))
    gains = [fork for seed in range(command.seeds) for fork in forks(corpus, seed, command)]
    figures = {
        "probe_share": shares,
        "agents_that_read_probes": sorted(set(agents) - set(ignoring)),
        "agents_that_do_not": ignoring,
        "reward_noise_ratio": {"now": 1.0 if all(s["same_rewards"] for s in shares.values()) else None},
        "cheaper": {stage: noise([fork for fork in gains if fork.stage == stage]) for stage in STAGES},
        "setting": {"corpus": command.corpus, "seeds": command.seeds, "candidates": command.candidates},
    }
    show(figures)
    if command.json:
        write_json(command.json, figures)


def shares_of(agent: str, named: str, corpus: Corpus) -> dict[str, Any]:
    """Return probing's operations over training's in a run as it is and as it was, and whether rewards are the same."""
    now = RunCommand(corpus=named, learner="scratch", agent=agent).reward_name
    runs = {}
    for way, reward in (("before", DEFAULT_REWARD), ("now", now)):
        runs[way] = list(Curriculum.make(corpus, "scratch", reward).run(make_agent(agent)))
    before, after = runs["before"], runs["now"]
    same = now is None or [step.reward for step in before] == [step.reward for step in after]
    alike = [step.passages for step in before] == [step.passages for step in after]
    shares = {way: share(steps) for way, steps in runs.items()}
    return {**shares, "reward": now or NO_REWARD, "same_rewards": same, "same_curriculum": alike}


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
        shifts: Rise of the mean log-probability of each word in each passage, `[passages, vocabulary]`.
        words: Share of each word in each passage, `[passages, vocabulary]`.
        tokens: Tokens of each passage, `[passages]`.
    """

    stage: str
    gains: Floats
    shifts: Floats
    words: Floats
    tokens: NDArray[np.int64]


def forks(corpus: Corpus, seed: int, command: Probing) -> Iterator[Fork]:
    """Teach a learner, and yield what some candidates would do to it at each stage."""
    learner = ScratchLearner(corpus, seed=seed)
    config = CurriculumConfig(budget_tokens=1_000_000, seed=seed)
    curriculum = Curriculum.make(corpus, learner, None, config)
    topics = sample_topics(corpus, Split.PROBE, command.population, seed=1)
    passages = corpus.select(corpus.first_ids(Split.PROBE)[topics])
    words, tokens = word_shares(learner, passages), learner.count_tokens(passages)
    for step in curriculum.run(make_agent("random")):
        for stage in [name for name, at in STAGES.items() if at == step.index]:
            before, snapshot = measure(learner, passages), learner.snapshot()
            for topic in np.random.default_rng(seed).permutation(curriculum.view.candidates)[: command.candidates]:
                lesson = curriculum.teacher.lesson(int(topic))
                learner.learn(lesson.passages, lesson.allowance)
                after = measure(learner, passages)
                learner.restore(snapshot)
                yield Fork(stage, before[0] - after[0], after[1] - before[1], words, tokens)
        if step.index >= max(STAGES.values()):
            break


@torch.inference_mode()
def measure(learner: ScratchLearner, passages: Passages) -> tuple[Floats, Floats]:
    """Return the loss of each passage, `[n]`, and the mean log-probability of each word in it, `[n, vocabulary]`."""
    losses, means = [], []
    for passage in passages.ids:
        ids = torch.as_tensor(np.asarray(learner.tokens[int(passage)], dtype=np.int64))
        logits = learner.model(ids[None, :-1], use_cache=False).logits[0].float()
        likely = torch.log_softmax(logits, dim=-1)  # [tokens, vocabulary]
        losses.append(-float(likely.gather(1, ids[1:, None]).mean()))
        means.append(likely.mean(0).numpy())
    return np.array(losses), np.array(means)


def word_shares(learner: ScratchLearner, passages: Passages) -> Floats:
    """Return the share of each word (an entry of the vocabulary) in each passage, `[passages, vocabulary]`."""
    shares = np.zeros((len(passages), len(learner.tokenizer)))
    for row, passage in enumerate(passages.ids):
        ids = np.asarray(learner.tokens[int(passage)])[1:]
        shares[row] = np.bincount(ids, minlength=shares.shape[1]) / len(ids)
    return shares


def noise(found: Sequence[Fork]) -> dict[str, Any]:
    """Return the noise of estimates at a quarter of the work, over that of the reward as it is, at one stage."""
    full = CurriculumConfig.probe_topics
    rng = np.random.default_rng(0)
    errors: dict[str, list[float]] = {"full": [], "fewer": [], "worded": [], "balanced": []}
    for fork in found:
        several = [rng.permutation(len(fork.gains)) for _ in range(DRAWS)]
        few = [drawn[: full // QUARTER] for drawn in several]
        truth = float(fork.gains.mean())
        errors["full"].append(squared(truth, [fork.gains[drawn[:full]].mean() for drawn in several]))
        errors["fewer"].append(squared(truth, [fork.gains[drawn].mean() for drawn in few]))
        errors["worded"].append(squared(truth, [worded(fork, drawn) for drawn in few]))
        picked = [balanced(fork, full * float(fork.tokens.mean()) / QUARTER, rng) for _ in range(DRAWS // 10)]
        errors["balanced"].append(squared(truth, [fork.gains[drawn].mean() for drawn in picked]))
    signal = float(np.var([fork.gains.mean() for fork in found]))
    reliability = {name: signal / (signal + float(np.mean(values))) for name, values in errors.items()}
    ratios = {name: ratio(errors[name], errors["full"]) for name in ("fewer", "worded", "balanced")}
    return {"noise_ratio": ratios, "reliability": reliability, "forks": len(found)}


def squared(truth: float, estimates: Sequence[float]) -> float:
    """Return the mean squared error of estimates."""
    return float(np.mean((np.array(estimates) - truth) ** 2))


def worded(fork: Fork, drawn: NDArray[np.int64]) -> float:
    """Return the mean gain of some passages, corrected for the words that they happen to hold."""
    excess = fork.words[drawn].mean(0) - fork.words.mean(0)
    return float(fork.gains[drawn].mean() - excess @ fork.shifts[drawn].mean(0))


def balanced(fork: Fork, tokens: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return passages of at most so many tokens together, chosen so that their words have the population's shares.

    Passages are drawn until the tokens are used up, and then each is exchanged for the one of no more tokens that
    brings the mean of the shares closest to the population's. Frequent words weigh less: each difference is divided by
    the fourth root of the word's share.
    """
    mean = fork.words.mean(0)
    apart = (fork.words - mean) / (mean + 1e-4) ** 0.25
    order = rng.permutation(len(apart))
    drawn = list(order[: max(1, int(np.searchsorted(np.cumsum(fork.tokens[order]), tokens)))])
    for place in range(len(drawn)):
        rest = apart[drawn].sum(0) - apart[drawn[place]]
        room = tokens - (fork.tokens[drawn].sum() - fork.tokens[drawn[place]])
        distance = np.square(rest + apart).sum(1)
        distance[(fork.tokens > room) | np.isin(np.arange(len(apart)), np.delete(drawn, place))] = np.inf
        drawn[place] = int(np.argmin(distance))
    return np.array(drawn)


def ratio(own: Sequence[float], full: Sequence[float]) -> list[float]:
    """Return the ratio of two mean errors with its 95% interval, a bootstrap over forks: ratio, low, high."""
    pairs = np.array([own, full])  # [2, forks]
    rng = np.random.default_rng(0)
    drawn = pairs[:, rng.integers(pairs.shape[1], size=(2_000, pairs.shape[1]))].mean(-1)  # [2, draws]
    low, high = np.percentile(drawn[0] / drawn[1], (2.5, 97.5))
    return [float(pairs[0].mean() / pairs[1].mean()), float(low), float(high)]


def show(figures: dict[str, Any]) -> None:
    """Print both tables."""
    console = Console()
    table = Table("agent", "reward", "probing over training, before", "now")
    for name, row in figures["probe_share"].items():
        table.add_row(name, row["reward"], f"{row['before']:.2f}", f"{row['now']:.2f}")
    console.print(table)
    table = Table("stage", "reliability", "fewer", "worded", "balanced", title="Noise at a quarter of the work")
    for stage, row in figures["cheaper"].items():
        cells = [f"{r:.2f} ({low:.2f} to {high:.2f})" for r, low, high in row["noise_ratio"].values()]
        table.add_row(stage, f"{row['reliability']['full']:.2f}", *cells)
    console.print(table)


if __name__ == "__main__":
    main(tyro.cli(Probing))
