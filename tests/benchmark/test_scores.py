"""Normalised scores and the ranking: cases worked by hand, and cases without a score."""

from __future__ import annotations

from typing import Any

import pytest

from kgrl.benchmark.comparison import across_goals, compare, finished
from kgrl.benchmark.scores import lead, rank_agents, scores

SEEDS = range(4)


def cell(agent: str, seed: int, aulc: float, task: str = "coverage") -> dict[str, Any]:
    place = {"task": task, "corpus": "tiny", "learner": "scratch"}
    return {**place, "agent": agent, "seed": seed, "status": "finished", "aulc": aulc}


def place(task: str = "coverage", oracle: float = 4.0, **agents: float) -> list[dict[str, Any]]:
    """Random's areas are 6.0, 6.1, ...; those of the others are as far below in every seed."""
    areas = {"random": 6.0, "oracle": oracle, **agents}
    return [
        cell(agent.replace("_", "-"), seed, area + seed / 10, task) for agent, area in areas.items() for seed in SEEDS
    ]


def test_random_scores_0_and_the_oracle_1() -> None:
    found = scores(place(half=5.0, worse=7.0))
    (where,) = found["random"]
    for agent, score in (("random", 0.0), ("oracle", 1.0), ("half", 0.5), ("worse", -0.5)):
        assert list(found[agent][where].values()) == pytest.approx([score] * 4)


def test_a_score_is_of_its_seed_over_the_mean_lead() -> None:
    rows = [cell("random", 0, 6.0), cell("random", 1, 6.0), cell("oracle", 0, 4.01), cell("oracle", 1, 3.99)]
    found = scores([*rows, cell("a", 0, 5.0), cell("a", 1, 4.0), cell("a", 2, 1.0)])
    assert found["a"]["coverage", "tiny", "scratch"] == pytest.approx({0: 0.5, 1: 1.0})


def test_a_place_where_the_oracle_is_not_clearly_ahead_has_no_scores() -> None:
    unclear = [cell("random", seed, 6.0, "noisy") for seed in range(2)]
    unclear += [cell("oracle", seed, 5.9 + seed / 10, "noisy") for seed in range(2)]
    assert lead(finished(unclear)["noisy", "tiny", "scratch"]) is None
    assert scores(unclear) == {}
    assert scores(place(oracle=7.0)) == {}
    ranked = {row["agent"]: row for row in rank_agents([*unclear, *place(half=5.0)])}
    assert (ranked["half"]["places"], ranked["half"]["unscored"]) == (1, 1)
    assert ranked["random"]["score"] == 0.0


def test_agents_are_ranked_and_measured_against_the_best_published_bandit() -> None:
    rows = place(ours=4.5, alp=5.0, exp3s=5.5) + place("noisy", ours=4.5, alp=5.0, exp3s=5.5)
    ranking = rank_agents(rows)
    assert [row["agent"] for row in ranking] == ["oracle", "ours", "alp", "exp3s", "random"]
    assert [row["rank"] for row in ranking] == [1, 2, 3, 4, 5]
    assert {row["rival"] for row in ranking} == {"alp"}
    ours = ranking[1]
    assert (ours["score"], ours["ahead"], ours["ahead_low"]) == pytest.approx((0.75, 0.25, 0.25))
    assert (ours["improvement"], ranking[-1]["improvement"]) == (1.0, 0.5)


def test_without_an_oracle_or_a_bandit_the_ranking_says_none() -> None:
    rows = [row for row in place(half=5.0) if row["agent"] != "oracle"]
    half, random = rank_agents(rows)
    assert (half["rank"], half["score"], half["rival"], half["ahead"], half["places"]) == (None, None, None, None, 0)
    assert half["improvement"] == 1.0
    assert random["agent"] == "random"


def run(task: str, agent: str, seed: int, half_way: int) -> dict[str, Any]:
    """A curve from 5 nats down to 3 at a time, flat from there to 1,000 tokens."""
    curve = [(0, 5.0), (half_way, 3.0), (1_000, 3.0)]
    return {**cell(agent, seed, 4.0, task), "curve": curve, "tokens": 1_000}


def test_goals_weigh_the_same_whatever_seeds_they_have() -> None:
    rows = [run("target", "random", seed, 800) for seed in range(3)] + [run("target:Arts", "random", 0, 800)]
    rows += [run("target", "a", seed, 400) for seed in range(3)] + [run("target:Arts", "a", 0, 100)]
    rows += [run("coverage", "random", 0, 800), run("coverage", "a", 0, 1)]
    (row,) = across_goals(rows)
    assert (row["goals"], row["pairs"], row["censored"]) == (2, 4, 0)
    assert row["speedup"] == pytest.approx((2 * 8) ** 0.5)
    assert row["speedup_low"] < 2 < 8 < row["speedup_high"]


def test_a_run_that_never_gets_to_the_goal_counts_at_the_budget() -> None:
    never = {**run("target", "a", 0, 400), "curve": [(0, 5.0), (1_000, 4.0)]}
    (row,) = across_goals([run("target", "random", 0, 500), never])
    assert (row["speedup"], row["censored"], row["speedup_low"]) == (pytest.approx(0.5), 1, 0.0)


def test_a_seed_on_which_random_learns_nothing_is_compared_all_the_same() -> None:
    """Its target is the loss that both began with, so both count as there at their first measurement."""
    worse, better = ([(0, 3.0), (500, 3.0 + change), (1000, 3.0 + 2 * change)] for change in (0.05, -0.2))
    named = {"corpus": "tiny", "learner": "lora", "status": "finished", "tokens": 1000, "noise_share": None}
    rows = [
        {**named, "task": f"target:{goal}", "agent": agent, "seed": seed, "curve": curve, "aulc": 3.0 + seed / 10}
        for goal in ("Craft", "Nature")
        for seed in (0, 1)
        for agent, curve in (("random", worse), ("closure", better))
    ]
    speeds = [row["speedup"] for row in compare(rows) if row["agent"] == "closure"]
    assert speeds == [1.0, 1.0] and [row["speedup"] for row in across_goals(rows)] == [1.0]
