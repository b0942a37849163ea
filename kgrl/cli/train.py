"""`kgrl train`: train a curiosity agent by reinforcement learning."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from kgrl.cli.output import show_facts
from kgrl.cli.setting import Setting

__all__ = ["Train"]


@dataclass(frozen=True)
class Train(Setting):
    """Train a curiosity agent in the curriculum environment; the policy is saved without pickle.

    Args:
        agent: The agent to train.
        steps: Environment steps (expansions) to train for.
        slots: Candidates the policy sees at a time.
        out: Folder for the policy and the TensorBoard log; policies/ with a name made from the setting if none.
        json: File to write the figures to, as one JSON object.
    """

    learner: str = "scratch"
    agent: Literal["ppo"] = "ppo"
    steps: int = 512
    slots: int = 64
    out: Path | None = None
    json: Path | None = None

    def run(self) -> dict[str, Any]:
        """Train, save the policy, print where it is and return the figures."""
        from kgrl.agents.ppo import train_ppo
        from kgrl.envs import CurriculumEnv

        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        folder = self.out or Path("policies") / f"{self.agent}-{Path(self.corpus).name}-seed{self.seed}-{stamp}"
        env = CurriculumEnv(curriculum=self.make_curriculum(self.load_corpus()), slots=self.slots)
        agent = train_ppo(env, self.steps, seed=self.seed, log_dir=folder, progress=sys.stderr.isatty())
        agent.save(folder)
        figures = {name: agent.training[name] for name in ("steps", "seconds", "mean_return")}
        facts = [*figures.items(), ("policy", folder)]
        show_facts(f"trained {self.agent} on {self.corpus}", facts)
        return {**self.setting(), "agent": self.agent, **figures, "policy": str(folder)}
