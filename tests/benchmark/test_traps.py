"""The trap suite: episodes, their results, and the summary of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kgrl.benchmark import traps
from kgrl.benchmark.tasks import Task
from kgrl.benchmark.traps import REREADING, GreedyReward, TrapEpisode, carry_out, play_trap, summarise_traps
from kgrl.cli import main
from kgrl.corpus import Corpus
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.errors import DataError
from kgrl.expansion import Expansion
from kgrl.retrieval import FaissRetriever, indexed_passages


def likes_high_numbers(expansion: Expansion) -> float:
    """A reward that is easy to predict."""
    return float(expansion.topic)


@pytest.fixture
def task(tiny_corpus: Corpus) -> Task:
    """All topics of the small corpus, of which some are said to be planted."""
    planted = np.arange(len(tiny_corpus.graph)) % 5 == 0
    config = CurriculumConfig(budget_tokens=600, expansion_tokens=100, neighbourhood=2, nucleus_size=2, probe_topics=4)
    everything = np.arange(len(tiny_corpus.graph), dtype=np.int32)
    return Task("coverage", "Anything.", tiny_corpus, config, "mean-prediction-gain", everything, planted)


@pytest.fixture
def embedded(tiny_corpus: Corpus, fake_embeddings: NDArray[np.float32]) -> traps.Embedded:
    """A retriever of the small corpus, without an encoder."""
    ids = indexed_passages(tiny_corpus)
    return FaissRetriever(ids, fake_embeddings[tiny_corpus.topics[ids]]), fake_embeddings


def test_greedy_takes_what_its_reward_likes_best(make_tiny_curriculum: Callable[..., Curriculum]) -> None:
    """When it tries all candidates, no candidate would have been rewarded more."""
    curriculum = make_tiny_curriculum(reward=likes_high_numbers)
    curriculum.start()
    agent = GreedyReward(curriculum, sample=1_000)
    agent.reset(curriculum.view)
    assert agent.choose(curriculum.view) == curriculum.view.candidates.max()


def test_an_attempt_changes_nothing_and_is_paid_for(make_tiny_curriculum: Callable[..., Curriculum]) -> None:
    """The expansion then is the one attempted, and says what the attempt cost."""
    curriculum, other = (make_tiny_curriculum(reward="self-prediction-gain") for _ in range(2))
    for each in (curriculum, other):
        each.start()
    topic = int(curriculum.view.candidates[0])
    attempted = curriculum.trials.attempt(topic)
    expansion, plain = curriculum.expand(topic), other.expand(topic)
    assert (attempted.reward, attempted.probes) == (expansion.reward, expansion.probes)
    assert expansion.reward == plain.reward
    assert expansion.probe_tokens >= plain.probe_tokens + attempted.tokens


def test_an_outcome_adds_up(task: Task, embedded: traps.Embedded) -> None:
    """Losses fall, the area lies between them, and shares are shares."""
    outcome = play_trap(
        TrapEpisode("coverage", "tiny", "scratch", "greedy", ("mean-prediction-gain",), 0, 2), task, embedded
    )
    assert outcome is not None
    assert outcome.exam_after < outcome.exam_aulc < outcome.exam_before
    assert 0 < outcome.noise_share < 1 and outcome.expansions > 2
    assert outcome.returns["mean-prediction-gain"] > 0


def test_every_reward_says_what_it_would_have_paid(task: Task, embedded: traps.Embedded) -> None:
    """A random episode is the same whether one reward is booked or many; without a goal, none for goals is."""
    rewards = ("token-cost", "mean-prediction-gain", "target-prediction-gain", "0.5*token-cost + coverage")
    many = play_trap(TrapEpisode("coverage", "tiny", "scratch", "random", rewards, 0), task, embedded)
    one = play_trap(TrapEpisode("coverage", "tiny", "scratch", "random", rewards[1:2], 0), task, embedded)
    assert many is not None and one is not None
    assert many.returns["mean-prediction-gain"] == one.returns["mean-prediction-gain"]
    assert set(many.returns) == {rewards[0], rewards[1], rewards[3]}
    assert many.returns[rewards[3]] > 0.5 * many.returns["token-cost"] > 0
    assert play_trap(TrapEpisode("coverage", "tiny", "scratch", "random", rewards[2:3], 0), task, embedded) is None


def test_the_rereading_agent_reads_nothing_new(task: Task, embedded: traps.Embedded) -> None:
    """After the nucleus, which is not booked; a reward for every token pays it, which one for knowledge need not."""
    rewards = ("token-cost", "knowledge-gain", "retention")
    outcome = play_trap(TrapEpisode("coverage", "tiny", "scratch", REREADING, rewards, 0), task, embedded)
    assert outcome is not None
    assert outcome.returns["token-cost"] == outcome.tokens > 0
    assert outcome.tokens < 600, "the nucleus takes some of the budget"
    assert outcome.returns["retention"] <= 0 <= outcome.returns["knowledge-gain"]


def test_the_summary_tells_what_is_paid_for_reading_again() -> None:
    """Per 10,000 tokens, of the agents that play for it; None where they did not."""
    shared = {"task": "t", "corpus": "c", "learner": "l", "exam_aulc": 3.0, "noise_share": 0.0, "exam_before": 9.0}
    rows = [
        {**shared, "agent": agent, "seed": seed, "exam_after": 8.0, "returns": {"r": paid}, "tokens": tokens}
        for agent, seed, paid, tokens in [
            ("rereading", 0, 1.0, 500),
            ("rereading", 1, 3.0, 1_500),
            ("greedy", 0, 7.0, 9),
        ]
    ]
    (row,) = summarise_traps(rows)
    assert (row["paid_rereading"], row["paid_random"]) == (pytest.approx(20.0), None)


def test_cells_are_played_once(
    task: Task, embedded: traps.Embedded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results in the folder are read, and another cell's result is refused."""
    monkeypatch.setattr(traps, "make_task", lambda name, corpus: task)
    monkeypatch.setattr(traps, "embed_corpus", lambda corpus, encoder: embedded)
    cells = [TrapEpisode("coverage", "tiny", "scratch", agent, ("token-cost",), 0, 2) for agent in ("greedy", "random")]
    rows = carry_out(cells, tmp_path)
    monkeypatch.setattr(traps, "play_trap", lambda *_: pytest.fail("played again"))
    assert carry_out(cells, tmp_path) == rows
    (tmp_path / cells[0].file).rename(tmp_path / cells[1].file)
    with pytest.raises(DataError, match="another cell"):
        carry_out(cells[1:], tmp_path)


def test_the_summary_correlates_returns_and_improvements() -> None:
    """Worked by hand: returns 1, 2, 3 with improvements 2, 4, 6 go together; opposite ones do not."""
    shared = {"task": "t", "corpus": "c", "learner": "l", "exam_aulc": 3.0, "noise_share": 0.25}
    rows = [
        {**shared, "agent": agent, "seed": seed, "exam_before": 10.0, "exam_after": 10.0 - 2 * gained,
         "returns": {"r": gained}}
        for gained, (agent, seed) in enumerate([("greedy", 0), ("greedy", 1), ("random", 0)], start=1)
    ]  # fmt: skip
    (row,) = summarise_traps(rows)
    assert row["return_exam_correlation"] == pytest.approx(1.0)
    assert (row["noise_share"], row["episodes"], row["agents"]["greedy"]["seeds"]) == (0.25, 3, 2)
    (row,) = summarise_traps([{**r, "returns": {"r": -r["returns"]["r"]}} for r in rows])
    assert row["return_exam_correlation"] == pytest.approx(-1.0)
    assert summarise_traps(rows[:2])[0]["return_exam_correlation"] is None


def test_unknown_names_are_refused_before_anything_is_played(capsys: pytest.CaptureFixture[str]) -> None:
    """Rewards and tasks are looked up first."""
    assert main(["bench", "--suite", "rewards", "--rewards", "mean-prediction-gian"]) == 2
    assert "did you mean 'mean-prediction-gain'" in capsys.readouterr().err
    assert main(["bench", "--tasks", "nosiy"]) == 2
    assert "did you mean 'noisy'" in capsys.readouterr().err
