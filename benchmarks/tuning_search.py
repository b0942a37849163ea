"""A search of the agents' hyperparameters with equal budgets, on graphs that the benchmark does not use.

Every agent gets the same number of trials on the same places and seeds. The first trial is the constructor's own
defaults, the others are drawn at random from `benchmarks/tuning_spaces.py` (Bergstra and Bengio 2012, "Random search
for hyper-parameter optimization"). The best options go into `agents/tuned/NAME.yaml`, which `kgrl.agents.make_agent`
reads. `tuning.py` is the command.

The oracle is not tuned: its one hyperparameter is how far it looks ahead, which defines it. Agents without
hyperparameters have nothing to tune.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml
from tuning_spaces import PLACES, SPACES, Place, defaults, members

from kgrl.agents.make import agents
from kgrl.benchmark.comparison import BASELINE
from kgrl.benchmark.folder import check_folder
from kgrl.benchmark.runner import Cell, read_rows, run_cells
from kgrl.errors import KgrlError, SettingError, UnknownNameError
from kgrl.system.executors import Executor, Lost, NamedTask
from kgrl.system.files import write_text

__all__ = ["Outcome", "Search", "Trial", "Tuned", "write_tuned"]

LEARNER = "scratch"
_RANDOM_SEEDS = 5
"""Least seeds of random, from which the spread between seeds is estimated."""
_Rows = Mapping[tuple[str, str, str, int], Mapping[str, Any]]


@dataclass(frozen=True)
class Trial:
    """An agent with options.

    Args:
        agent: The agent by name.
        options: Arguments of its constructor, by name.
    """

    agent: str
    options: tuple[tuple[str, Any], ...]

    @property
    def name(self) -> str:
        """Its name as an agent, which holds all its options.

        Example:
            >>> Trial("closure", (("c", 3.2),)).name
            'closure(c=3.2)'
        """
        return f"{self.agent}({','.join(f'{option}={value}' for option, value in self.options)})"

    def register(self) -> None:
        """Make it an agent by name, in this process."""
        if self.name not in agents:
            agents.register(self.name)(partial(agents[self.agent], **dict(self.options)))


@dataclass(frozen=True)
class Outcome:
    """The outcome of a trial.

    Args:
        options: The options tried.
        score: Its score, see `Search`; None if a cell failed or is missing.
        places: The score of each place, `TASK/CORPUS`.
        error: The reason of a missing score.
    """

    options: dict[str, Any]
    score: float | None
    places: dict[str, float]
    error: str | None = None


@dataclass(frozen=True)
class Tuned:
    """The result of tuning an agent.

    Args:
        agent: The agent by name.
        outcomes: The outcome of each trial; the first is the defaults.
        cells: Number of curricula that were carried out for it.
    """

    agent: str
    outcomes: tuple[Outcome, ...]
    cells: int

    @property
    def best(self) -> Outcome:
        """The trial with the greatest score, the earliest of several: the defaults, if nothing is better.

        Raises:
            KgrlError: If every trial failed.
        """
        scored = [outcome for outcome in self.outcomes if outcome.score is not None]
        if not scored:
            raise KgrlError(f"all trials of {self.agent!r} failed; the first: {self.outcomes[0].error}")
        return max(scored, key=lambda outcome: outcome.score or 0.0)


@dataclass(frozen=True)
class Search:
    """A search of options with equal budgets.

    The score of a trial is the mean over places and seeds of (A_random - A) / s: A the area under the exam's learning
    curve, A_random that of random with the same seed, s the standard deviation of A_random over seeds in that place.
    It has no unit, and 0 is random. The best of several trials is the best partly by luck, so its score elsewhere will
    be lower; the benchmark measures that.

    Args:
        agents: Names of the agents.
        trials: Number of trials of each agent, the defaults among them; a smaller space is tried in whole.
        seeds: Number of curricula of a trial in each place.
        seed: Seeds the drawing of options.
        places: The places; see `tuning_spaces.PLACES`.

    Raises:
        UnknownNameError: If an agent has no options to tune.
        SettingError: If trials or seeds are below 1.
    """

    agents: tuple[str, ...] = tuple(SPACES)
    trials: int = 12
    seeds: int = 1
    seed: int = 0
    places: tuple[Place, ...] = PLACES

    def __post_init__(self) -> None:
        if min(self.trials, self.seeds) < 1:
            raise SettingError(f"trials and seeds must be at least 1, not {self.trials} and {self.seeds}")
        for agent in self.agents:
            if agent not in SPACES:
                raise UnknownNameError("agent with options to tune", agent, SPACES)

    def trials_of(self, agent: str) -> list[Trial]:
        """Return the trials of an agent, the defaults first, no two alike."""
        space, rng = SPACES[agent], np.random.default_rng([self.seed, *agent.encode()])
        # A dict without values keeps the order of its keys and each key once.
        found = {_trial(agent, defaults(agent, space)): None}
        for options in members(space, rng):
            if len(found) == self.trials:
                break
            found.setdefault(_trial(agent, options))
        return list(found)

    def cells(self) -> list[Cell]:
        """Return all cells: those of random first, then agent by agent."""
        named = [trial.name for agent in self.agents for trial in self.trials_of(agent)]
        return self._random_cells() + [cell for name in named for cell in self._cells(name, self.seeds)]

    def run(self, out: Path, executor: Executor) -> Iterator[dict[str, Any]]:
        """Carry out the cells that have no result; see `kgrl.benchmark.runner.run_cells`.

        Args:
            out: Folder that keeps results. A search may continue in it after a kill, or with more agents or trials.
            executor: Carries cells out.

        Yields:
            The row of each cell: first of the finished ones, then of the others in the order in which they end.

        Raises:
            DataError: If the folder holds results of another version, or of a place or an agent that has changed.
        """
        trials = [trial for agent in self.agents for trial in self.trials_of(agent)]
        for trial in trials:
            trial.register()
        cells = self.cells()
        check_folder(out, cells)
        yield from run_cells(cells, out, _WithTrials(executor, trials))

    def results(self, out: Path) -> list[Tuned]:
        """Return the result for each agent, from the cells in a folder."""
        rows = {(row["task"], row["corpus"], row["agent"], row["seed"]): row for row in read_rows(out)}
        return [self._tuned(agent, rows) for agent in self.agents]

    def _cells(self, name: str, seeds: int) -> list[Cell]:
        return [
            Cell(task, corpus, LEARNER, name, seed, budget)
            for (task, corpus, budget), seed in product(self.places, range(seeds))
        ]

    def _random_cells(self) -> list[Cell]:
        return self._cells(BASELINE, max(_RANDOM_SEEDS, self.seeds))

    def _tuned(self, agent: str, rows: _Rows) -> Tuned:
        trials = self.trials_of(agent)
        outcomes = tuple(self._outcome(trial, rows) for trial in trials)
        return Tuned(agent, outcomes, len(trials) * len(self.places) * self.seeds)

    def _outcome(self, trial: Trial, rows: _Rows) -> Outcome:
        for cell in (*self._random_cells(), *self._cells(trial.name, self.seeds)):
            row = rows.get((cell.task, cell.corpus, cell.agent, cell.seed), {"status": "missing"})
            if row["status"] != "finished":
                return Outcome(dict(trial.options), None, {}, f"{cell.name}: {row.get('error', 'was not carried out')}")
        scores = {f"{task}/{corpus}": self._score(trial, (task, corpus), rows) for task, corpus, _ in self.places}
        return Outcome(dict(trial.options), float(np.mean(list(scores.values()))), scores)

    def _score(self, trial: Trial, place: tuple[str, str], rows: _Rows) -> float:
        random = [rows[*place, BASELINE, seed]["aulc"] for seed in range(max(_RANDOM_SEEDS, self.seeds))]
        ours = [rows[*place, trial.name, seed]["aulc"] for seed in range(self.seeds)]
        # In units of the spread between seeds, so that places with large losses do not outweigh the others.
        return float(np.mean(np.subtract(random[: self.seeds], ours)) / np.std(random, ddof=1))


S = TypeVar("S")
T = TypeVar("T", bound=NamedTask)
R = TypeVar("R")


@dataclass(frozen=True)
class _WithTrials:
    """An executor in whose workers trials are agents by name."""

    executor: Executor
    trials: Sequence[Trial]

    def map(
        self, function: Callable[[S, T], R], shared: S, tasks: Sequence[T], lost: Lost[S, T, R] | None = None
    ) -> Iterator[R]:
        """Carry out the tasks; see `Executor`."""
        return self.executor.map(partial(_call_with, self.trials, function), shared, tasks, lost)


def _call_with(trials: Sequence[Trial], function: Callable[[S, T], R], shared: S, task: T) -> R:
    # A worker is another process, which does not know the trials' names yet.
    for trial in trials:
        trial.register()
    return function(shared, task)


def _trial(agent: str, options: Mapping[str, Any]) -> Trial:
    return Trial(agent, tuple(options.items()))


def write_tuned(tuned: Tuned, search: Search, command: str, folder: Path) -> Path:
    """Write the best options, and how they were found, to `NAME.yaml`.

    Args:
        tuned: The result of tuning an agent.
        search: The search.
        command: The command that repeats it.
        folder: The folder; that of agents is `kgrl.agents.make.TUNED`.

    Returns:
        The file.

    Raises:
        KgrlError: If every trial failed.
    """
    found = {
        "options": tuned.best.options,
        "score": tuned.best.score,
        "score_of_defaults": tuned.outcomes[0].score,
        "trials": len(tuned.outcomes),
        "cells": tuned.cells,
        "places": [f"{task}/{corpus}" for task, corpus, _ in search.places],
        "seeds": search.seeds,
        "seed": search.seed,
        "command": command,
    }
    path = folder / f"{tuned.agent}.yaml"
    write_text(path, yaml.safe_dump(found, sort_keys=False, width=120))
    return path
