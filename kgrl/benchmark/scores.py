"""Normalised scores, one figure for an agent over all places, and the ranking by them.

The score of a run is (AULC_random - AULC) / (AULC_random - AULC_oracle): 0 for random, 1 for the oracle. The numerator
is of one seed. The denominator is the mean over the place's seeds, since that of a single seed can be close to 0 and
make the quotient arbitrarily large. In a place where the oracle is not clearly better than random (the interval of
their paired difference reaches 0), the denominator may be 0, so no agent has a score there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kgrl.benchmark.comparison import BASELINE, finished
from kgrl.benchmark.statistics import Interval, bootstrap_interval, paired_difference, probability_of_improvement

__all__ = ["BANDITS", "CEILING", "lead", "rank_agents", "scores"]

CEILING = "oracle"
"""The agent whose score is 1."""
BANDITS = ("alp", "alp-gmm", "d-ucb", "exp3s", "odm", "plr", "skill-it", "tscl")
"""The published bandits; agents are compared with the best of them, too."""

_Row = Mapping[str, Any]
_Place = tuple[str, ...]
_Seeds = dict[int, _Row]
_Scores = dict[_Place, dict[int, float]]


def lead(agents: Mapping[str, Mapping[int, _Row]]) -> float | None:
    """Return random's area less the oracle's, averaged over paired seeds; None where it is not clearly above 0.

    Args:
        agents: A place's finished cells by agent and seed.
    """
    random, oracle = agents.get(BASELINE, {}), agents.get(CEILING, {})
    seeds = sorted(random.keys() & oracle.keys())
    if not seeds:
        return None
    above = paired_difference([random[seed]["aulc"] for seed in seeds], [oracle[seed]["aulc"] for seed in seeds])
    return above.value if above.low > 0 else None


def scores(rows: Sequence[_Row]) -> dict[str, _Scores]:
    """Return the normalised scores of all agents' runs: by agent, place and seed.

    Args:
        rows: Rows of cells; see `kgrl.benchmark.runner.read_rows`.
    """
    found: dict[str, _Scores] = {}
    for place, agents in sorted(finished(rows).items()):
        random, measure = agents.get(BASELINE, {}), lead(agents)
        for agent, seeds in agents.items():
            if measure is not None and seeds.keys() & random.keys():
                shared = sorted(seeds.keys() & random.keys())
                # 0 for random by construction, 1 for the oracle on average over seeds.
                gains = {seed: (random[seed]["aulc"] - seeds[seed]["aulc"]) / measure for seed in shared}
                found.setdefault(agent, {})[place] = gains
    return found


def rank_agents(rows: Sequence[_Row]) -> list[dict[str, Any]]:
    """Return a row for each learner and agent, the best first.

    `score` is the interquartile mean of normalised scores over the places with scores; `unscored` is the number of the
    other places. `improvement` is the probability that a run of the agent has a smaller area than one of random in the
    same place. `rival` is the published bandit with the best score, and `ahead` the interquartile mean of the paired
    differences of scores between the agent and it. To choose the rival from the same runs favours it a little.
    Intervals are the stratified bootstrap's, with places as strata. Agents without a score come last; their rank and
    score are None.

    Args:
        rows: Rows of cells.
    """
    ranking = []
    for learner in sorted({row["learner"] for row in rows}):
        ranking += _ranked(learner, [row for row in rows if row["learner"] == learner])
    return ranking


def _ranked(learner: str, rows: Sequence[_Row]) -> list[dict[str, Any]]:
    places, scored = finished(rows), scores(rows)
    values = {agent: bootstrap_interval(_strata(places_of)) for agent, places_of in scored.items()}
    # Of the bandits that have scores; ties go to the first by name, as `BANDITS` is sorted.
    rival = max((name for name in BANDITS if name in values), key=lambda name: values[name].value, default=None)
    named = sorted({agent for agents in places.values() for agent in agents})
    # Agents without a score come last, in alphabetical order: they have no rank.
    ordered = sorted(named, key=lambda agent: -values[agent].value if agent in values else np.inf)
    return [
        {
            "learner": learner,
            "rank": rank if agent in values else None,
            "agent": agent,
            "places": len(scored.get(agent, {})),
            "unscored": len(places) - len(scored.get(agent, {})),
            **_limits("score", values.get(agent)),
            **_limits("improvement", _improvement(agent, places)),
            "rival": rival,
            **_limits("ahead", _ahead(scored.get(agent, {}), scored.get(rival or "", {}))),
        }
        for rank, agent in enumerate(ordered, start=1)
    ]


def _improvement(agent: str, places: Mapping[_Place, Mapping[str, _Seeds]]) -> Interval | None:
    # Areas are negated, since a smaller one is better.
    both = [agents for agents in places.values() if agent in agents and BASELINE in agents]
    ours, random = ([[-row["aulc"] for row in agents[name].values()] for agents in both] for name in (agent, BASELINE))
    return probability_of_improvement(ours, random) if both else None


def _ahead(ours: _Scores, theirs: _Scores) -> Interval | None:
    paired = {
        place: {seed: ours[place][seed] - theirs[place][seed] for seed in ours[place].keys() & theirs[place].keys()}
        for place in ours.keys() & theirs.keys()
    }
    strata = _strata({place: seeds for place, seeds in sorted(paired.items()) if seeds})
    return bootstrap_interval(strata) if strata else None


def _strata(places: _Scores) -> list[list[float]]:
    return [[seeds[seed] for seed in sorted(seeds)] for seeds in places.values()]


def _limits(name: str, interval: Interval | None) -> dict[str, float | None]:
    if interval is None:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
