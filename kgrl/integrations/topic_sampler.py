"""A sampler of exercises for trainers that do reinforcement learning: an agent chooses, pass rates teach it.

The form is that of samplers with a state in such trainers: `sample`, `observe`, `state_dict`, `load_state_dict`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrl.agents.bandits.arms import ArmBandit
from kgrl.curriculum.state import LossProfile
from kgrl.curriculum.view import Agent, View, preferred
from kgrl.errors import DataError, SettingError, UnknownNameError
from kgrl.expansion import Expansion, Measurement
from kgrl.graph.frontier import Frontier
from kgrl.graph.topic_graph import IntArray, TopicGraph
from kgrl.integrations.choosing import LateChoice, agent_among, agent_text, choose, earned, tell
from kgrl.system.display import count_text, title_text
from kgrl.system.files import content_key
from kgrl.system.schemas import Count, Index, checked

__all__ = ["Exercise", "TopicSampler"]

_AGENTS = {"alp", "d-ucb", "exp3s", "greedy-loss", "least-loss", "odm", "plr", "random", "stratified", "tscl"}
_WHY = "exercises have no links and no text that it could go by"
_BANDS = 5
"""Bands of difficulty, where there are no categories."""
_FORMAT = 1


@dataclass(frozen=True)
class Exercise:
    """Something that a model passes or fails: a task, a problem, a prompt.

    Args:
        name: Its name, no two the same.
        category: The kind of thing that it asks for.
        difficulty: The share of tries that is expected to fail, from 0 to 1. Of the exercises of a category only the
            differences count.

    Raises:
        SettingError: If the difficulty is out of range.
    """

    name: str
    category: str = ""
    difficulty: float = 0.5

    def __post_init__(self) -> None:
        _check_share(f"the difficulty of {title_text(self.name)}", self.difficulty)


class TopicSampler:
    """Exercises chosen by an agent that learns from pass rates.

    To the agent an exercise is a topic that can be picked at any time, and the share of failed tries is its loss. Its
    reward is what the pass rate rose above what was expected: the exercise's own rate when it was tried last; before
    that, the one its difficulty says, corrected by what those tried in its category passed more or less than theirs
    did. The first result of a category earns nothing. `alp` finds out itself what rises, and is told the share of
    failures, as its paper has it.

    Bandits (`alp`, `d-ucb`, `exp3s`, `odm`, `plr`, `tscl`) choose a category and draw one of its exercises. Where there
    are fewer than two categories, bands of difficulty serve. `stratified` chooses all categories equally often,
    `random` all exercises. `greedy-loss` and `least-loss` take, of 16 exercises, the one that is expected to fail most
    or least.

    Choices depend on nothing but the arguments and the calls before. Results may come late, in any order, in part, for
    exercises that were not sampled, or never.

    Args:
        exercises: The exercises.
        agent: The name of an agent, which has its tuned options (`alp` its own defaults); or an agent.
        seed: Seeds the draws.

    Attributes:
        exercises: The exercises in their order.
        agent: The agent.
        seed: The seed.

    Raises:
        UnknownNameError: If there is no agent of this name.
        SettingError: If there are no exercises, two of the same name, an agent that cannot choose among them, or a
            bandit and nothing to tell exercises apart by.

    Example:
        >>> exercises = [Exercise(f"{kind} {i}", kind) for kind in ("sum", "product") for i in range(50)]
        >>> sampler = TopicSampler(exercises, agent="exp3s", seed=1)
        >>> batch = sampler.sample(2)
        >>> [exercise.name for exercise in batch]
        ['sum 37', 'product 47']
        >>> sampler.observe({exercise.name: 0.25 for exercise in batch})
        >>> sampler
        TopicSampler(100 exercises in 2 categories, 2 sampled, 2 results)
    """

    def __init__(self, exercises: Iterable[Exercise], agent: str | Agent = "exp3s", seed: int = 0) -> None:
        self.exercises = tuple(exercises)
        self.agent = agent_among(agent, _AGENTS, _WHY)
        self.seed = seed
        self._numbers = {exercise.name: number for number, exercise in enumerate(self.exercises)}
        if not self.exercises:
            raise SettingError("there are no exercises to sample from")
        if len(self._numbers) < len(self.exercises):
            twice = next(one.name for i, one in enumerate(self.exercises) if self._numbers[one.name] != i)
            raise SettingError(f"two exercises have the name {title_text(twice)}; each needs its own")
        self._difficulty = np.array([exercise.difficulty for exercise in self.exercises])
        categories = _categories(self.exercises, self._difficulty)
        self._kinds, self._kind = np.unique(categories, return_inverse=True)  # their names, and that of each exercise
        self._graph = TopicGraph.from_links([*self._numbers], [], [], categories)
        if isinstance(self.agent, ArmBandit) and len(self._kinds) < 2:
            why = "all exercises are of one category and one difficulty, so a bandit has nothing to choose between"
            raise SettingError(f"{why}; give them categories, or sample with the agent 'random'")
        self._start()

    def __repr__(self) -> str:
        kinds = count_text(len(self._kinds), "category", "categories")
        what = f"{count_text(len(self.exercises), 'exercise')} in {kinds}"
        told = f"{self._sampled:,} sampled, {count_text(self._observed, 'result')}"
        return f"TopicSampler({what}, {told})"

    def _start(self) -> None:
        """Forget all choices and results."""
        n = len(self.exercises)
        self._rng = np.random.default_rng(self.seed)
        self._frontier = Frontier(self._graph, roots=range(n))
        self._profile = LossProfile(n)
        self._sampled, self._observed = 0, 0
        self._events: list[dict[str, list[Any]]] = []
        self._waiting: dict[int, LateChoice] = {}  # the latest choice of each exercise whose result is not known
        self._failed = np.full(n, np.nan)  # the latest share of failed tries of each exercise
        kinds = len(self._kinds)
        # Of each category: how much more those tried fail than their difficulty says, in sum, and how many there are.
        self._excess, self._tried = np.zeros(kinds), np.zeros(kinds, dtype=np.int64)
        self.agent.reset(self._view(np.ones(n, dtype=bool)))

    def _view(self, free: NDArray[np.bool_]) -> View:
        return View(
            graph=self._graph,
            frontier=self._frontier,
            nucleus=np.empty(0, dtype=np.int32),
            goal=None,
            profile=self._profile,
            embeddings=np.zeros((len(self.exercises), 1), dtype=np.float32),
            trainable=free,
            tokens=self._observed,
            budget=0,
            index=self._sampled,
            rng=self._rng,
            measure=self._measure,
        )

    def _measure(self, topics: IntArray) -> NDArray[np.float32]:
        return self._expected(np.asarray(topics)).astype(np.float32)

    def _expected(self, topics: IntArray) -> NDArray[np.float64]:
        """Return the share of tries that some exercises are expected to fail."""
        kinds = self._kind[topics]
        excess = self._excess[kinds] / np.maximum(1, self._tried[kinds])
        unseen = np.clip(self._difficulty[topics] + excess, 0.0, 1.0)
        return np.where(np.isnan(self._failed[topics]), unseen, self._failed[topics])

    def sample(self, n: int = 1) -> list[Exercise]:
        """Return exercises to try next, each another one.

        Args:
            n: Their number.

        Raises:
            SettingError: If there are not so many exercises.
        """
        if not 1 <= n <= len(self.exercises):
            there = count_text(len(self.exercises), "exercise")
            raise SettingError(f"a sample has 1 to {len(self.exercises):,} of {there}, not {n:,}; sample more often")
        drawn = self._draw(n)
        self._events.append({"drawn": drawn})
        return [self.exercises[topic] for topic in drawn]

    def _draw(self, n: int) -> list[int]:
        free, drawn = np.ones(len(self.exercises), dtype=bool), list[int]()
        for _ in range(n):
            choice = choose(self.agent, self._view(free))
            free[choice.topic] = False
            self._waiting[choice.topic] = choice
            self._sampled += 1
            drawn.append(choice.topic)
        return drawn

    def observe(self, results: Mapping[str, float]) -> None:
        """Learn from pass rates. Their order in the mapping does not matter.

        Args:
            results: The share of tries that passed, from 0 to 1, by the names of exercises.

        Raises:
            UnknownNameError: If there is no exercise of a name; nothing is learned then.
            SettingError: If a pass rate is not from 0 to 1; nothing is learned then.
        """
        numbered = list[list[Any]]()
        for name, rate in results.items():
            if name not in self._numbers:
                raise UnknownNameError("exercise", str(name), self._numbers)
            _check_share(f"the pass rate of {title_text(name)}", rate)
            numbered.append([self._numbers[name], float(rate)])
        numbered.sort()
        self._learn(numbered)
        self._events.append({"results": numbered})

    def _learn(self, results: Sequence[Sequence[Any]]) -> None:
        """Let the agent observe numbered pass rates, all compared with what was expected before the first of them."""
        topics = np.array([topic for topic, _ in results], dtype=np.int32)
        failed = 1.0 - np.array([rate for _, rate in results])
        fresh = self._tried[self._kind[topics]] == 0
        expected = np.where(fresh, failed, self._expected(topics))
        for topic, before, after in zip(topics.tolist(), expected.tolist(), failed.tolist(), strict=True):
            self._keep(topic, after)
            tell(self.agent, self._waiting.pop(topic, None), self._record(topic, before, after))
        self._profile.update(topics, failed)

    def _keep(self, topic: int, failed: float) -> None:
        kind, before = self._kind[topic], self._failed[topic]
        unseen = math.isnan(before)
        self._tried[kind] += unseen
        self._excess[kind] += failed - (self._difficulty[topic] if unseen else before)
        self._failed[topic] = failed

    def _record(self, topic: int, before: float, after: float) -> Expansion:
        """Return a result as the record of an expansion, in which one exercise takes the place of a token."""
        self._observed += 1
        return Expansion(
            index=self._observed,
            topic=topic,
            title=self.exercises[topic].name,
            neighbourhood=(topic,),
            passages=(),
            tokens=1,
            tokens_total=self._observed,
            budget=0,
            train_loss=after,
            probes={"self": Measurement((topic,), (before,), (after,))},
            reward=earned(self.agent, before, after),
        )

    def chances(self) -> dict[str, float]:
        """Return the chance that the next exercise is of each category, or band of difficulty.

        The chance is that of the choice; agents that state none count as if all exercises had equal chances.
        """
        topics, chances = preferred(self.agent, self._view(np.ones(len(self.exercises), dtype=bool)).glance())
        shares = np.bincount(self._kind[topics], chances, len(self._kinds))
        return dict(zip(self._kinds.tolist(), shares.tolist(), strict=True))

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain lists, texts and numbers, which JSON keeps exactly.

        It holds all choices and results so far, since the state of an agent follows from them.
        """
        events = [{kind: list(entries) for kind, entries in event.items()} for event in self._events]
        return {**self._identity(), "seed": self.seed, "events": events}

    def _identity(self) -> dict[str, Any]:
        """Return what a sampler has to agree in with one whose state it takes over."""
        described = (f"{one.name}\0{one.category}\0{one.difficulty!r}" for one in self.exercises)
        return {"format": _FORMAT, "agent": agent_text(self.agent), "exercises": content_key(*described)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state, bit for bit, by going through its choices and results again.

        The seed is that of the state.

        Args:
            state: What `state_dict` returned, of a sampler with the same exercises and an agent of the same options.

        Raises:
            DataError: If it is no such state, or another sampler's. The sampler is then as it was if the state cannot
                be read, and at its start if the choices turn out to be others.
        """
        loaded = checked(dict(state), _State, "state_dict")
        for name, own in self._identity().items():
            if (found := getattr(loaded, name)) != own:
                way_out = "make the sampler with the same exercises and the same agent"
                raise DataError(
                    "state_dict", None, f"it is of another sampler: {name} is {found!r}, not {own!r}; {way_out}"
                )
        for event in loaded.events:
            for topic in (*event.drawn, *(topic for topic, _ in event.results)):
                if not 0 <= topic < len(self.exercises):
                    raise DataError("state_dict", None, f"there is no exercise number {topic}")
        self.seed = loaded.seed
        self._start()
        for event in loaded.events:
            self._repeat(event)

    def _repeat(self, event: _Event) -> None:
        """Go through recorded choices or results."""
        if event.drawn:
            if (drawn := self._draw(len(event.drawn))) != list(event.drawn):
                self._start()
                why = "the same draws choose other exercises here, so the agent or NumPy is another"
                raise DataError("state_dict", None, f"{why}; use the versions that the state was saved with")
            self._events.append({"drawn": drawn})
        else:
            results = [list(result) for result in event.results]
            self._learn(results)
            self._events.append({"results": results})


@dataclass(frozen=True)
class _Event:
    """A sample, or results that came together."""

    drawn: tuple[Index, ...] = ()
    results: tuple[tuple[Index, float], ...] = ()

    def __post_init__(self) -> None:
        for _, rate in self.results:
            _check_share("a pass rate", rate)


@dataclass(frozen=True)
class _State:
    """A sampler's state."""

    format: Count
    agent: str
    exercises: str
    seed: int
    events: tuple[_Event, ...]


def _check_share(what: str, value: float) -> None:
    if not 0 <= value <= 1:  # NaN, too
        raise SettingError(f"{what} must be from 0 to 1, not {value}")


def _categories(exercises: Sequence[Exercise], difficulty: NDArray[np.float64]) -> list[str]:
    """Return the category of each exercise; bands of difficulty where there are fewer than two."""
    categories = [exercise.category or "(none)" for exercise in exercises]
    if len(set(categories)) > 1:
        return categories
    edges = np.unique(np.quantile(difficulty, np.arange(1, _BANDS) / _BANDS))
    bands = np.unique(np.searchsorted(edges, difficulty, side="right"), return_inverse=True)[1]
    return [f"difficulty {band + 1} of {bands.max() + 1}" for band in bands.tolist()]
