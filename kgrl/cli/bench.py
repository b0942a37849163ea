"""`kgrl bench`: compare agents with random ones, or rewards, on tasks."""

from __future__ import annotations

from collections.abc import Iterable
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
    """Compare agents with random picks, or see which rewards are hackable.

    The suite agents: every agent's curricula on every task, with paired seeds, and for each the verdict against random.
    An agent that crashes fails its own cells alone; they are tried again the next time.

    The suite rewards: what agents that follow a reward learn, and what they fall for. On every task, greedy follows
    each reward in turn; other agents play once a seed, and each reward says what it would have paid them. Rewards that
    the learner or the task cannot give are left out.

    What is finished is kept in a folder, so that the command can be stopped and started again, and go on with more
    agents or seeds.

    Args:
        suite: The suite: agents or rewards.
        rewards: Suite rewards: rewards, by name or as expressions; the default and all that are registered if none.
        tasks: Tasks by name; all if none.
        corpus: The corpora; the task invented has its own.
        learner: The learner by name.
        agents: Agents by name, or folders of trained policies; in the suite rewards also greedy, which takes what the
            reward likes best, by trying. If none, all that are registered, or greedy and random in the suite rewards.
        seeds: Number of seeds, the same for all.
        sample: Suite rewards: candidates that greedy tries at a step.
        workers: Suite agents: cells carried out at a time, each in a process of its own.
        out: Folder that keeps what is finished; runs/bench-SUITE if none.
        json: File to write the figures to, as one JSON object.
    """

    suite: Literal["agents", "rewards"] = "agents"
    rewards: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    corpus: tuple[str, ...] = ("vital",)
    learner: str = "scratch"
    agents: tuple[str, ...] = ()
    seeds: int = 2
    sample: int = 8
    workers: int = 1
    out: Path | None = None
    json: Path | None = None

    def run(self) -> dict[str, Any]:
        """Carry out what is not there, print a table and return the figures.

        Raises:
            KgrlError: If a name is unknown or a number senseless, a reward needs what a task or the learner cannot
                give, or the folder holds results of another version or corpus.
        """
        from kgrl.benchmark.tasks import tasks

        if min(self.seeds, self.sample, self.workers) < 1:
            raise SettingError(
                f"seeds, sample and workers must be at least 1, not {self.seeds}, {self.sample} and {self.workers}"
            )
        for name in self.tasks:
            tasks[name]
        folder = self.out or Path(f"runs/bench-{self.suite}")
        return self._compare_agents(folder) if self.suite == "agents" else self._compare_rewards(folder)

    def _compare_agents(self, folder: Path) -> dict[str, Any]:
        from kgrl.benchmark.comparison import BASELINE, compare
        from kgrl.benchmark.runner import Cell, check_folder, failures, read_rows, run_cells
        from kgrl.learners.executors import executors

        places, named = self._places(), dict.fromkeys((BASELINE, *(self.agents or _all_agents())))
        _check_agents(named)
        check_folder(folder, places)
        # Seeds come outermost, so that a benchmark that was stopped has the same seeds of everything.
        cells = [
            Cell(task, corpus, self.learner, agent, seed)
            for seed, (task, corpus), agent in product(range(self.seeds), places, named)
        ]
        executor = executors.make("process" if self.workers > 1 else "serial", workers=self.workers)
        with progress("bench", total=len(cells)) as advance:
            for done, cell in enumerate(run_cells(cells, folder, executor), start=1):
                advance(done, f"{cell.task} {Path(cell.agent).name}")
        rows = read_rows(folder)
        figures, failed = compare(rows), failures(rows)
        columns = ("task", "corpus", "agent", "seeds", "aulc_iqm", "speedup", "noise_share", "verdict")
        show_table("agents", columns, [[_shown(row[name]) for name in columns] for row in figures])
        if failed:
            show_table("failed", ("cell",), [[line] for line in failed])
        return {"suite": self.suite, "rows": figures, "failed": failed}

    def _compare_rewards(self, folder: Path) -> dict[str, Any]:
        from kgrl.benchmark.traps import carry_out, summary
        from kgrl.curriculum_config import DEFAULT_REWARD

        cells = self._cells()
        with progress("bench", total=len(cells)) as advance:
            rows = carry_out(cells, folder, lambda done, cell: advance(done, f"{cell.task} {cell.agent}"))
        figures = summary(rows)
        columns = ("reward", "task", "corpus", "noise_share", "exam_aulc", "return_exam_correlation", "episodes")
        show_table("rewards", columns, [[_shown(row[name]) for name in columns] for row in figures])
        return {"suite": self.suite, "default_reward": DEFAULT_REWARD, "rows": figures}

    def _cells(self) -> list[Cell]:
        """All episodes, those of one task together."""
        from kgrl.benchmark.traps import GREEDY, Cell
        from kgrl.curriculum_config import DEFAULT_REWARD
        from kgrl.rewards import as_reward, rewards

        named = self.rewards or (DEFAULT_REWARD, *rewards)
        for reward in named:
            as_reward(reward)
        return [
            Cell(task, corpus, self.learner, agent, rewards, seed, self.sample)
            for (task, corpus), agent in product(self._places(), self.agents or (GREEDY, "random"))
            for rewards, seed in product([(name,) for name in named] if agent == GREEDY else [named], range(self.seeds))
        ]

    def _places(self) -> list[tuple[str, str]]:
        """The tasks and the corpora they are on; `invented` has its own."""
        from kgrl.benchmark.tasks import INVENTED, tasks

        named = product(self.tasks or tuple(tasks), self.corpus)
        return list(dict.fromkeys((task, INVENTED if task == "invented" else corpus) for task, corpus in named))


def _all_agents() -> tuple[str, ...]:
    from kgrl.agents import agents

    return tuple(agents)


def _check_agents(named: Iterable[str]) -> None:
    """Make each once, so that a name that is misspelt is told before hours of work and not after."""
    from kgrl.agents import make_agent

    for name in named:
        make_agent(name)


def _shown(value: Any) -> Any:
    return "" if value is None else value
