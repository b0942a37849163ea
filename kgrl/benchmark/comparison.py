"""The comparison with random: figures of each agent's curricula for each task, corpus and learner.

Every figure is of paired seeds: the same seed gives both agents the same learner, probes and exam, so that their
difference does not have the spread between seeds. A pair of which one is missing or failed is left out, and the row
says how many pairs there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrl.benchmark.statistics import interquartile_mean, paired_difference, speedup, verdict
from kgrl.runs.metrics import tokens_to_target

__all__ = ["BASELINE", "across_goals", "compare", "finished", "missing"]

BASELINE = "random"
"""The agent that every other one is compared with: uniform over the frontier."""

_TARGET = "target"
_PLACE = ("task", "corpus", "learner")
_Row = Mapping[str, Any]
_Goal = tuple[NDArray[np.float64], NDArray[np.float64], int]


def compare(rows: Sequence[_Row]) -> list[dict[str, Any]]:
    """Return a row for each agent in each place: verdict, speed-up, areas and noise budget.

    The verdict is on the area under the exam's learning curve, in nats per token. The target of the speed-up is the
    loss that random ends with, seed by seed. `aulc_iqm` is the interquartile mean over all of the agent's finished
    seeds. Where random has no seed in common, the verdict says so, and the figures that need it are None.

    Args:
        rows: Rows of cells; see `kgrl.benchmark.runner.read_rows`.
    """
    return [
        {**dict(zip(_PLACE, place, strict=True)), "agent": agent, **_figures(seeds, agents.get(BASELINE, {}))}
        for place, agents in sorted(finished(rows).items())
        for agent, seeds in sorted(agents.items())
    ]


def across_goals(rows: Sequence[_Row]) -> list[dict[str, Any]]:
    """Return the speed-up of each agent over all goals of `target` together, a row for each learner and agent.

    A goal's speed-up is the geometric mean over its seeds, and `speedup` is that over goals. The interval is Student's
    over goals, since seeds of one goal share its topics and are not independent. Runs of the agent that never reach
    random's final loss count at the budget; `censored` is their number.

    Args:
        rows: Rows of cells; a goal is a task on a corpus.
    """
    goals: dict[tuple[str, str], list[_Goal]] = {}
    for (task, _, learner), agents in sorted(finished(rows).items()):
        if task.partition(":")[0] == _TARGET:
            # Sorted, as sets have no order that stays from process to process.
            for agent in sorted(agents.keys() - {BASELINE}):
                if shared := sorted(agents[agent].keys() & agents.get(BASELINE, {}).keys()):
                    pairs = [(agents[agent][seed], agents[BASELINE][seed]) for seed in shared]
                    goals.setdefault((learner, agent), []).append(_goal(pairs))
    return [{"learner": learner, "agent": agent, **_over(found)} for (learner, agent), found in goals.items()]


def _goal(pairs: Sequence[tuple[_Row, _Row]]) -> _Goal:
    """Return the logarithms of tokens to the target, random's and ours, and the number of censored runs of ours."""
    ours, random = zip(*pairs, strict=True)
    # The budget is the most tokens of any run: it bounds a censored run's time from below.
    targets, budget = [row["curve"][-1][1] for row in random], max(row["tokens"] for row in (*ours, *random))
    theirs, mine = _tokens_to(targets, random), _tokens_to(targets, ours)
    logs = [np.log([budget if tokens is None else tokens for tokens in found]) for found in (theirs, mine)]
    return logs[0], logs[1], sum(tokens is None for tokens in mine)


def _over(goals: Sequence[_Goal]) -> dict[str, Any]:
    """Return the figures over goals, each of which weighs the same however many seeds it has."""
    # On logarithms, whose mean is the geometric mean of ratios.
    ratio = paired_difference([random.mean() for random, _, _ in goals], [ours.mean() for _, ours, _ in goals])
    return {
        "goals": len(goals),
        "pairs": sum(len(ours) for _, ours, _ in goals),
        "censored": sum(censored for _, _, censored in goals),
        "speedup": float(np.exp(ratio.value)),
        "speedup_low": _finite(np.exp(ratio.low)),
        "speedup_high": _finite(np.exp(ratio.high)),
    }


def finished(rows: Sequence[_Row]) -> dict[tuple[str, ...], dict[str, dict[int, _Row]]]:
    """Return the finished cells by (task, corpus, learner), then by agent, then by seed.

    Args:
        rows: Rows of cells.
    """
    places: dict[tuple[str, ...], dict[str, dict[int, _Row]]] = {}
    for row in rows:
        if row["status"] == "finished":
            agents = places.setdefault(tuple(row[name] for name in _PLACE), {})
            agents.setdefault(row["agent"], {})[row["seed"]] = row
    return places


def missing(rows: Sequence[_Row]) -> list[str]:
    """Return the cells that are missing from the grid, as `task/corpus/learner/agent/seed`.

    The grid of a learner is the product of its agents, its seeds and its places. A failed cell is not missing.

    Args:
        rows: Rows of cells.

    Example:
        >>> row = {"task": "coverage", "corpus": "vital", "learner": "scratch", "agent": "random", "seed": 0}
        >>> missing([row, {**row, "seed": 1}, {**row, "task": "noisy"}])
        ['noisy/vital/scratch/random/1']
    """
    absent = []
    for learner in sorted({row["learner"] for row in rows}):
        mine = [row for row in rows if row["learner"] == learner]
        places = sorted({(row["task"], row["corpus"], learner) for row in mine})
        names, seeds = (sorted({row[part] for row in mine}) for part in ("agent", "seed"))
        there = {(*(row[part] for part in _PLACE), row["agent"], row["seed"]) for row in mine}
        # Failed cells have rows, too, so that they are not missing.
        grid = ((*place, agent, seed) for place, agent, seed in product(places, names, seeds))
        absent += ["/".join(map(str, cell)) for cell in grid if cell not in there]
    return absent


def _figures(ours: Mapping[int, _Row], random: Mapping[int, _Row]) -> dict[str, Any]:
    own = [row["aulc"] for row in ours.values()]
    # None on tasks without planted topics, where there is no noise to avoid.
    noise = [row["noise_share"] for row in ours.values() if row["noise_share"] is not None]
    shared = sorted(ours.keys() & random.keys())
    return {
        "seeds": len(ours),
        "pairs": len(shared),
        **_against([ours[seed] for seed in shared], [random[seed] for seed in shared]),
        "aulc_iqm": interquartile_mean([own]),
        "noise_share": float(np.mean(noise)) if noise else None,
    }


def _against(ours: Sequence[_Row], random: Sequence[_Row]) -> dict[str, Any]:
    if not ours:
        missing = dict.fromkeys(("difference", "difference_low", "difference_high", "more_seeds"))
        speeds = dict.fromkeys(("speedup", "speedup_low", "speedup_high", "censored"))
        return {"verdict": "missing", "sentence": f"No seed in common with {BASELINE}.", **missing, **speeds}
    told = verdict([row["aulc"] for row in ours], [row["aulc"] for row in random])
    targets = [row["curve"][-1][1] for row in random]
    budget = max(row["tokens"] for row in (*ours, *random))
    faster = speedup(_tokens_to(targets, random), _tokens_to(targets, ours), budget)
    return {
        "verdict": told.word,
        "sentence": told.sentence,
        "difference": told.difference.value,
        "difference_low": _finite(told.difference.low),
        "difference_high": _finite(told.difference.high),
        "more_seeds": told.more_seeds,
        "speedup": faster.ratio.value,
        "speedup_low": _finite(faster.ratio.low),
        "speedup_high": _finite(faster.ratio.high),
        "censored": faster.censored_ours,
    }


def _tokens_to(targets: Sequence[float], rows: Sequence[_Row]) -> list[float | None]:
    """Return the tokens after which each run reaches its target, None for never.

    A run that began at its target, as where random ended no better than it began, counts as reaching it at its first
    measurement after some training: a ratio of no tokens would be no number.
    """
    reached = [tokens_to_target(row["curve"], target) for row, target in zip(rows, targets, strict=True)]
    first = [next((float(tokens) for tokens, _ in row["curve"] if tokens > 0), None) for row in rows]
    return [start if found == 0 else found for found, start in zip(reached, first, strict=True)]


def _finite(limit: float) -> float | None:
    """Return a limit for JSON, which has no infinity: None where the interval is open or of a single seed."""
    return float(limit) if np.isfinite(limit) else None
