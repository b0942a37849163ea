"""Compare the policy that was trained for knowledge with other agents, in the simulated learner that remembers.

    python benchmarks/recall_policy.py --json docs/results/recall_policy.json

Worlds are others than those of training and of the calibration. Each member of the calibration is a learner with a
plateau of its own, the same for all agents. `known` is the true share of facts known at the end, and `difference` that
less `random`'s with the same world and member, with Student's 95% interval.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from kgrl.agents import make_agent
from kgrl.benchmark.statistics import paired_difference
from kgrl.benchmark.tasks import make_task
from kgrl.curriculum.loop import Curriculum
from kgrl.data import load_corpus
from kgrl.learners.simulated.remembering import RememberingLearner
from kgrl.system.files import write_json

RIVAL = "random"


@dataclass(frozen=True)
class RecallPolicy:
    """Carry out curricula and compare them.

    Args:
        json: File for the figures.
        agents: Agents beside `random`: names, or folders of policies.
        worlds: Invented worlds.
        budget: Tokens of a curriculum.
        members: Number of members of the calibration.
    """

    json: Path
    agents: tuple[str, ...] = ("ppo-recall", "curiosity", "closure", "interleaved", "nucleated", "iid")
    worlds: tuple[str, ...] = ("invented:400:21", "invented:600:22")
    budget: int = 600_000
    members: int = 5


def main(command: RecallPolicy) -> None:
    known = {agent: shares(command, agent) for agent in (RIVAL, *command.agents)}
    rows = [row(agent, known[agent], known[RIVAL]) for agent in known]
    write_json(command.json, {"worlds": list(command.worlds), "budget": command.budget, "rows": rows})


def shares(command: RecallPolicy, agent: str) -> list[float]:
    """Return the share of facts known at the end for each world and member."""
    found = []
    for world in command.worlds:
        corpus = load_corpus(world)
        task = make_task("recall", corpus)
        for member in range(command.members):
            learner = RememberingLearner(corpus, seed=member, member=member)
            config = replace(task.config, budget_tokens=command.budget, seed=member)
            curriculum = Curriculum.make(corpus, learner, "knowledge-gain", config)
            for _ in curriculum.run(make_agent(agent)):
                pass
            found.append(float(learner.known.mean()))
            print(agent, world, member, round(found[-1], 3), flush=True)
    return found


def row(agent: str, own: list[float], rival: list[float]) -> dict[str, Any]:
    """Return an agent's row."""
    less = paired_difference(own, rival)
    return {
        "agent": Path(agent).name,
        "curricula": len(own),
        "known": float(np.mean(own)),
        "difference": less.value,
        "low": less.low,
        "high": less.high,
    }


if __name__ == "__main__":
    main(tyro.cli(RecallPolicy))
