"""`kgrl bench`: compare rewards on tasks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kgrl.cli.output import progress, show_table
from kgrl.errors import SettingError

if TYPE_CHECKING:
    from kgrl.benchmark.traps import Cell

__all__ = ["Bench"]


@dataclass(frozen=True)
class Bench:
    """See which rewards are hackable: what agents that follow them learn, and what they fall for.

    On every task, greedy follows each reward in turn; other agents play once a seed, and each reward says what it would
    have paid them. Rewards that the learner or the task cannot give are left out. Finished episodes are kept in a
    folder, so that the command can be stopped and started again.

    Args:
        suite: The suite: rewards.
        rewards: Rewards, by name or as expressions; the default and all that are registered if none.
        tasks: Tasks by name; all if none.
        corpus: The corpora; the task invented has its own.
        learner: The learner: scratch or simulated.
        agents: greedy (takes what the reward likes best, by trying), agents by name, or folders of trained policies.
        seeds: Number of seeds, the same for all.
        sample: Candidates that greedy tries at a step.
        out: Folder that keeps finished episodes.
        json: File to write the figures to, as one JSON object.
    """

    suite: Literal["rewards"] = "rewards"
    rewards: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    corpus: tuple[str, ...] = ("vital",)
    learner: str = "scratch"
    agents: tuple[str, ...] = ("greedy", "random")
    seeds: int = 2
    sample: int = 8
    out: Path = Path("runs/bench-rewards")
    json: Path | None = None

    def run(self) -> dict[str, Any]:
        """Play all episodes that are not there, print a table and return the figures.

        Raises:
            KgrlError: If a name is unknown, or a reward needs what a task or the learner cannot give.
        """
        from kgrl.benchmark.traps import carry_out, summary
        from kgrl.curriculum_config import DEFAULT_REWARD

        cells = self._cells()
        with progress("bench", total=len(cells)) as advance:
            rows = carry_out(cells, self.out, lambda done, cell: advance(done, f"{cell.task} {cell.agent}"))
        figures = summary(rows)
        columns = ("reward", "task", "corpus", "noise_share", "exam_aulc", "return_exam_correlation", "episodes")
        show_table("rewards", columns, [[_shown(row[name]) for name in columns] for row in figures])
        return {"suite": self.suite, "default_reward": DEFAULT_REWARD, "rows": figures}

    def _cells(self) -> list[Cell]:
        """All episodes, those of one task together."""
        from kgrl.benchmark.tasks import INVENTED, tasks
        from kgrl.benchmark.traps import GREEDY, Cell
        from kgrl.curriculum_config import DEFAULT_REWARD
        from kgrl.rewards import as_reward, rewards

        if self.seeds < 1 or self.sample < 1:
            raise SettingError(f"seeds and sample must be at least 1, not {self.seeds} and {self.sample}")
        for name in self.tasks:
            tasks[name]
        named = self.rewards or (DEFAULT_REWARD, *rewards)
        for reward in named:
            as_reward(reward)
        places = dict.fromkeys(
            (task, INVENTED if task == "invented" else corpus)
            for task, corpus in product(self.tasks or tuple(tasks), self.corpus)
        )
        return [
            Cell(task, corpus, self.learner, agent, rewards, seed, self.sample)
            for (task, corpus), agent in product(places, self.agents)
            for rewards, seed in product([(name,) for name in named] if agent == GREEDY else [named], range(self.seeds))
        ]


def _shown(value: Any) -> Any:
    return "" if value is None else value
