"""The trap suite: how well each reward guides an agent on each task, and which traps it falls for.

A cell is one episode: an agent plays a task, rewards are added up, and the exam is taken along the way. The greedy
agent follows one reward. In episodes of other agents, the sum that each reward would have paid is noted. A good reward
makes its agent learn the topics of the exam, and pays most for the episodes that improve the exam most. A hackable one
pays for planted topics, for topics that the exam never asks about, or for reading again what is known, which the
rereading agent does all the time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrl.agents.base import BaseAgent, agent_name
from kgrl.agents.baselines.frontier import SampledAgent
from kgrl.agents.make import make_agent
from kgrl.benchmark.tasks import Task, make_float32_learner, make_task
from kgrl.curriculum.loop import Curriculum
from kgrl.curriculum.measures import check_needs
from kgrl.curriculum.view import Agent, View
from kgrl.errors import DataError, SettingError
from kgrl.exam import Exam
from kgrl.expansion import Expansion, ExpansionBatch
from kgrl.graph.titled import goal_topics
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.base import Learner
from kgrl.retrieval.corpus_index import embed_corpus
from kgrl.retrieval.encoder import DEFAULT_ENCODER, Encoder
from kgrl.retrieval.faiss_retriever import FaissRetriever
from kgrl.rewards.base import Composed
from kgrl.rewards.expression import as_reward
from kgrl.runs.metrics import aulc
from kgrl.system.files import write_json
from kgrl.system.schemas import read_json

__all__ = [
    "GREEDY",
    "REREADING",
    "GreedyReward",
    "Rereading",
    "TrapEpisode",
    "TrapResult",
    "carry_out",
    "play_trap",
    "summarise_traps",
]


GREEDY = "greedy"
"""The agent that takes the candidate whose expansion its reward pays most for, out of a sample."""

REREADING = "rereading"
"""The agent that reads again what is known; it is a trap for rewards that pay for that."""

_KNOWING = {"mastery": "gap", "most_readings": 0, "nucleus_share": 0.5}
"""Settings of an episode of the rereading agent: the nucleus is learned until it is known, for half of the budget at
most."""

_EXAM_EVERY = 0.05
"""Share of the budget between two exams."""

_PLACE = ("task", "corpus", "learner")


@dataclass(frozen=True)
class TrapEpisode:
    """One episode.

    Args:
        task: The task by name.
        corpus: The corpus by name.
        learner: The learner by name.
        agent: `"greedy"`, `"rereading"`, an agent by name, the folder of a trained policy, or a class as
            `FILE.py:CLASS`.
        rewards: The rewards that are added up, by name or as expressions; for `greedy`, the one that it follows.
            Rewards that need something the learner or the task does not have are left out.
        seed: Seeds learner, probes and draws.
        sample: Candidates that `greedy` tries at a step.
        encoder: The sentence encoder by name.
    """

    task: str
    corpus: str
    learner: str
    agent: str
    rewards: tuple[str, ...]
    seed: int
    sample: int = 8
    encoder: str = DEFAULT_ENCODER

    @property
    def file(self) -> str:
        """The name of the file of its result."""
        # A list of rewards can be longer than file systems allow, so it is known by a digest.
        listed = "+".join(self.rewards)
        named = listed if len(self.rewards) == 1 else hashlib.sha256(listed.encode()).hexdigest()[:12]
        parts = (self.task, self.corpus, self.learner, agent_name(self.agent), named, str(self.seed))
        return "".join(c if c.isalnum() or c in "-_." else "_" for c in "--".join(parts)) + ".json"


@dataclass(frozen=True)
class TrapResult:
    """The result of an episode.

    Args:
        noise_share: Share of the tokens spent on planted topics.
        exam_before: Exam loss before any training, in nats per token.
        exam_after: Exam loss at the end, in nats per token.
        exam_aulc: Area under the exam's curve, over the budget: a mean loss in nats per token.
        curve: Tokens and exam loss at each exam.
        returns: The sum of each reward over the episode after the nucleus, by the reward's name.
        expansions: Number of expansions, the nucleus included.
        tokens: Tokens trained on after the nucleus.
    """

    noise_share: float
    exam_before: float
    exam_after: float
    exam_aulc: float
    curve: list[tuple[int, float]]
    returns: dict[str, float]
    expansions: int
    tokens: int


Embedded = tuple[FaissRetriever, NDArray[np.float32]]


def carry_out(
    cells: Sequence[TrapEpisode], folder: Path, on_cell: Callable[[int, TrapEpisode], None] | None = None
) -> list[dict[str, Any]]:
    """Play all cells and return a row for each: the fields of the cell and of its result.

    Results are kept in a folder, one file each, and a cell whose file exists is not played again. If a
    learner or task can give none of a cell's rewards, the cell has no result and no row.

    Args:
        cells: The cells. Cells of one task and corpus should follow one another: both are then made once.
        folder: Folder of the results.
        on_cell: Called before each cell with the number of finished ones.

    Raises:
        DataError: If a file in the folder is of another cell.
    """
    rows: list[dict[str, Any]] = []
    made: tuple[tuple[str, ...], Task, Embedded] | None = None  # the last one only: corpora are large
    for done, cell in enumerate(cells):
        if on_cell is not None:
            on_cell(done, cell)
        path = folder / cell.file
        if not path.exists():
            # Embedding a corpus takes longer than an episode, so it is done once for the cells of a task.
            place = cell.task, cell.corpus, cell.encoder
            if made is None or made[0] != place:
                task = make_task(cell.task, cell.corpus)
                made = place, task, embed_corpus(task.corpus, Encoder(cell.encoder))
            outcome = play_trap(cell, *made[1:])
            if outcome is None:
                continue
            write_json(path, {**asdict(cell), **asdict(outcome)})
        rows.append(_read(path, cell))
    return rows


def _read(path: Path, cell: TrapEpisode) -> dict[str, Any]:
    row = read_json(path, dict[str, Any], "delete it, and the episode is carried out again")
    # The file's name leaves some of a cell out, such as the folder of a policy and the sample's size.
    if {name: row.get(name) for name in asdict(cell)} != {**asdict(cell), "rewards": list(cell.rewards)}:
        raise DataError(path, None, f"holds the result of another cell than {cell}; choose another folder")
    return row


class _Ledger(Composed):
    """A ledger of several rewards: a reward that pays their sum and notes what each of them pays.

    Args:
        named: The rewards by name or as expressions.
    """

    def __init__(self, named: Sequence[str]) -> None:
        self.named = tuple(named)
        super().__init__([as_reward(name) for name in named], "ledger")

    def combine(self, values: Sequence[Any], expansion: Expansion | ExpansionBatch) -> Any:
        """Note what the rewards pay for the latest expansion."""
        self.latest = np.array(values, dtype=np.float64)
        return sum(values)


def play_trap(cell: TrapEpisode, task: Task, embedded: Embedded) -> TrapResult | None:
    """Play one cell; return None if the learner or the task can give none of its rewards.

    Args:
        cell: The cell.
        task: Its task.
        embedded: Retriever and topic embeddings of the task's corpus.
    """
    learner = make_float32_learner(cell.learner, task.corpus, seed=cell.seed, encoder=cell.encoder)
    given = [name for name in cell.rewards if _can_be_given(name, task, learner)]
    if not given:
        return None
    settings: dict[str, Any] = _KNOWING if cell.agent == REREADING else {}
    config, ledger = replace(task.config, seed=cell.seed, **settings), _Ledger(given)
    curriculum = Curriculum(task.corpus, learner, *embedded, ledger, config)
    agent, exam = _agent(cell, curriculum), task.make_exam()
    # Before the run, which begins with the nucleus: the first point is the untrained learner's.
    curve, steps, returns = [(0, _loss(exam, curriculum))], list[Expansion](), np.zeros(len(given))
    for step in curriculum.run(agent):
        steps.append(step)
        if step.reward is not None:  # the nucleus's lessons have none
            returns += ledger.latest
        if step.tokens_total - curve[-1][0] >= config.budget_tokens * _EXAM_EVERY:
            curve.append((step.tokens_total, _loss(exam, curriculum)))
    if curve[-1][0] != steps[-1].tokens_total:  # the last expansion rarely ends where an exam is due
        curve.append((steps[-1].tokens_total, _loss(exam, curriculum)))
    return TrapResult(
        noise_share=task.noise_share(steps),
        exam_before=curve[0][1],
        exam_after=curve[-1][1],
        exam_aulc=aulc(curve, config.budget_tokens),
        curve=curve,
        returns=dict(zip(given, returns.tolist(), strict=True)),
        expansions=len(steps),
        tokens=sum(step.tokens for step in steps if step.reward is not None),
    )


def _agent(cell: TrapEpisode, curriculum: Curriculum) -> Agent:
    """Return the agent that plays a cell's curriculum."""
    if cell.agent == GREEDY:
        return GreedyReward(curriculum, cell.sample)
    return Rereading() if cell.agent == REREADING else make_agent(cell.agent)


def _can_be_given(reward: str, task: Task, learner: Learner) -> bool:
    goal = goal_topics(task.corpus.graph, task.config.goal)
    try:
        check_needs(as_reward(reward), learner, goal)
    except SettingError:
        return False
    return True


def _loss(exam: Exam, curriculum: Curriculum) -> float:
    return float(exam.losses(curriculum.learner).mean())


def summarise_traps(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each reward, task, corpus and learner.

    `noise_share` and `exam_aulc` are means over the seeds of `greedy`, which follows the reward; None where it did not
    play. `agents` has these figures of every agent; those of agents other than `greedy` are the same for all rewards.
    `return_exam_correlation` is Pearson's correlation of what the reward paid and the exam's improvement, over the
    episodes of all agents and seeds. It is None for fewer than three episodes, or where one of the two does not vary.
    `paid_rereading` is what the reward paid for reading again what is known, and `paid_random` what it paid for random
    picks, per 10,000 tokens after the nucleus; None where the agent did not play.
    """
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        for reward in row["returns"]:
            groups.setdefault((reward, *(row[name] for name in _PLACE)), []).append(row)
    return [_summed(key, group) for key, group in sorted(groups.items())]


def _summed(key: tuple[str, ...], rows: list[dict[str, Any]]) -> dict[str, Any]:
    # A policy goes by its folder's name, wherever the folder is.
    names = dict.fromkeys(agent_name(row["agent"]) for row in rows)
    agents = {name: _means([row for row in rows if agent_name(row["agent"]) == name]) for name in names}
    improved = [row["exam_before"] - row["exam_after"] for row in rows]
    paid = [row["returns"][key[0]] for row in rows]
    return {
        **dict(zip(("reward", *_PLACE), key, strict=True)),
        "noise_share": agents[GREEDY]["noise_share"] if GREEDY in agents else None,
        "exam_aulc": agents[GREEDY]["exam_aulc"] if GREEDY in agents else None,
        "return_exam_correlation": _correlation(paid, improved),
        "paid_rereading": _paid(rows, key[0], REREADING),
        "paid_random": _paid(rows, key[0], "random"),
        "episodes": len(rows),
        "agents": agents,
    }


def _paid(rows: list[dict[str, Any]], reward: str, agent: str) -> float | None:
    """Return what a reward paid an agent, per 10,000 tokens after the nucleus; None if it did not play."""
    mine = [row for row in rows if row["agent"] == agent and row.get("tokens")]
    return 1e4 * sum(row["returns"][reward] for row in mine) / sum(row["tokens"] for row in mine) if mine else None


def _means(rows: list[dict[str, Any]]) -> dict[str, float]:
    means = {name: float(np.mean([row[name] for row in rows])) for name in ("noise_share", "exam_aulc", "exam_after")}
    return {**means, "seeds": len(rows)}


def _correlation(left: Sequence[float], right: Sequence[float]) -> float | None:
    # Two points always lie on a line, and a constant has no correlation.
    if len(left) < 3 or np.ptp(left) == 0 or np.ptp(right) == 0:
        return None
    return float(np.corrcoef(left, right)[0, 1])


class GreedyReward(SampledAgent):
    """An agent that tries a sample of candidates on forks of the learner, and takes the one that is rewarded most.

    It looks one expansion ahead, as the oracle does, but at the curriculum's own reward. Tries are booked as probing.

    Args:
        curriculum: The curriculum it plays, with its reward.
        sample: Most candidates tried at a step, drawn uniformly.

    Raises:
        ValueError: If `sample` is below 1.
    """

    def __init__(self, curriculum: Curriculum, sample: int = 8) -> None:
        super().__init__(sample)
        self.curriculum = curriculum

    def judge(self, view: View, topics: IntArray) -> NDArray[np.floating]:
        """Return the rewards of the topics' expansions, each tried on a fork, float64 `[topics]`."""
        return np.array([self.curriculum.trials.attempt(int(topic)).reward for topic in topics], dtype=np.float64)


class Rereading(BaseAgent):
    """An agent that reads again what is known: passages of solid topics, those read most often first.

    It teaches nothing new as long as these topics stay known. Where none is solid it reads those that were read.

    Example:
        >>> Rereading()
        Rereading()
    """

    frontier_only = False
    reads_probes = False
    reads_passages = True

    def choose(self, view: View) -> IntArray:
        """Return the passages of known topics, in an order drawn uniformly among those read equally often."""
        readable = view.readable()
        read = readable[view.readings[readable] > 0]
        known = read[view.frontier.is_solid[view.passage_topics[read]]]
        drawn = view.rng.permutation(known if len(known) else read)
        return drawn[np.argsort(-view.readings[drawn], kind="stable")]
