"""`kgrl bench`: compare agents with random ones, or rewards, on tasks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kgrl.cli.output import progress, show_facts, show_table
from kgrl.errors import SettingError

if TYPE_CHECKING:
    from kgrl.benchmark.runner import Cell
    from kgrl.benchmark.traps import TrapEpisode

__all__ = ["BenchCommand", "ask_hypothesis"]


_FIGURES = ("agent", "seeds", "aulc_iqm", "speedup", "noise_share", "verdict")


@dataclass(frozen=True)
class BenchCommand:
    """Compare agents with random picks, or see which rewards are hackable.

    The suite agents: every agent's curricula on every task, with paired seeds, and for each the verdict against random.
    An agent that crashes fails its own cells alone; they are tried again the next time.

    The suite rewards: what agents that follow a reward learn, and what they fall for. On every task, greedy follows
    each reward in turn; other agents play once a seed, and each reward says what it would have paid them. Rewards that
    the learner or the task cannot give are left out.

    The suite hypothesis: whether learning follows links. Its tasks are transfer, order and recall; several learners may
    be named, with commas between them.

    What is finished is kept in a folder, so that the command can be stopped and started again, and go on with more
    agents or seeds. The suite agents leaves its report there: report.html, report.md, tables and pictures.

    Args:
        suite: The suite: agents, rewards or hypothesis.
        rewards: Suite rewards: rewards, by name or as expressions; the default and all that are registered if none.
        tasks: Tasks by name, as several values or with commas between, as all lists here but that of rewards; all if
            none. Suite agents: target:Technology is the task target with the goal Technology.
        corpus: The corpora; the task invented has its own.
        learner: The learner by name.
        agents: Agents by name, or folders of trained policies; in the suite rewards also greedy, which takes what the
            reward likes best, by trying. If none, or all in the suite agents: all that are registered; greedy and
            random in the suite rewards.
        seeds: Number of seeds, the same for all.
        topics: Suite hypothesis: topics that are learned on forks, to see what that does to others.
        budget_tokens: Suite agents: most tokens of a curriculum, where the task's own budget is larger.
        sample: Suite rewards: candidates that greedy tries at a step.
        workers: Suite agents: cells carried out at a time, with one thread each.
        executor: Suite agents: where cells are carried out: process (processes of this machine), ray, or serial (in
            this process, where an agent that kills its process ends the benchmark).
        out: Folder that keeps what is finished; runs/bench-SUITE if none.
        json: File to write the figures to, as one JSON object.
    """

    suite: Literal["agents", "rewards", "hypothesis"] = "agents"
    rewards: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    corpus: tuple[str, ...] = ("vital",)
    learner: str = "scratch"
    agents: tuple[str, ...] = ()
    seeds: int = 2
    topics: int = 200
    budget_tokens: int | None = None
    sample: int = 8
    workers: int = 1
    executor: Literal["process", "ray", "serial"] = "process"
    out: Path | None = None
    json: Path | None = None

    def run(self) -> dict[str, Any]:
        """Carry out what is not there, print a table and return the figures.

        Raises:
            KgrlError: If a name is unknown or a number senseless, a reward needs what a task or the learner cannot
                give, or the folder holds results of another version, corpus, budget, learner or agent.
        """
        if min(self.seeds, self.sample, self.workers) < 1:
            raise SettingError(
                f"seeds, sample and workers must be at least 1, not {self.seeds}, {self.sample} and {self.workers}"
            )
        folder = self.out or Path(f"runs/bench-{self.suite}")
        if self.suite == "hypothesis":
            return ask_hypothesis(self.corpus, (self.learner,), self.tasks, self.topics, self.seeds, folder)
        return self._compare_agents(folder) if self.suite == "agents" else self._compare_rewards(folder)

    def _compare_agents(self, folder: Path) -> dict[str, Any]:
        from kgrl.benchmark.comparison import across_goals, compare, missing
        from kgrl.benchmark.folder import check_folder
        from kgrl.benchmark.report.page import write_benchmark_report
        from kgrl.benchmark.runner import failures, read_rows
        from kgrl.benchmark.scores import rank_agents

        cells = self._agent_cells()
        check_folder(folder, cells)  # which also makes each agent, corpus and task, before hours of work and not after
        self._carry_out(cells, folder)
        report, rows = write_benchmark_report(folder), read_rows(folder)
        figures, ranking = compare(rows), rank_agents(rows)
        goals = [row for row in across_goals(rows) if row["goals"] > 1]
        failed, absent = failures(rows), missing(rows)
        _show("agents", ("task", "corpus", "learner", *_FIGURES), figures)
        _show("ranking", ("learner", "rank", "agent", "places", "score", "score_low", "score_high"), ranking)
        if goals:
            _show("all goals together", ("learner", "agent", "goals", "speedup", "speedup_low", "speedup_high"), goals)
        for title, lines in (("failed", failed), ("missing", absent)):
            if lines:
                show_table(title, ("cell",), [[line] for line in lines])
        show_facts("", [("report", report)])
        figured = {"rows": figures, "across_goals": goals, "ranking": ranking, "failed": failed, "missing": absent}
        return {"suite": self.suite, **figured, "report": str(report)}

    def _carry_out(self, cells: Sequence[Cell], folder: Path) -> None:
        from kgrl.benchmark.pace import Pace
        from kgrl.benchmark.runner import run_cells
        from kgrl.system.executors import executors

        executor, pace = executors.make(self.executor, workers=self.workers), Pace(cells, self.workers)
        with progress("bench", total=len(cells)) as advance:
            for done, row in enumerate(run_cells(cells, folder, executor), start=1):
                pace.book(row)
                advance(done, f"{row['task']} {row['agent']}", pace.left())

    def _agent_cells(self) -> list[Cell]:
        """Seeds come outermost, so that a benchmark that was stopped has the same seeds of everything."""
        from kgrl.benchmark.comparison import BASELINE
        from kgrl.benchmark.runner import Cell

        named = _listed(self.agents)
        agents = dict.fromkeys((BASELINE, *(_all_agents() if named in ((), ("all",)) else named)))
        return [
            Cell(task, corpus, self.learner, agent, seed, self.budget_tokens)
            for seed, (task, corpus), agent in product(range(self.seeds), self._places(), agents)
        ]

    def _compare_rewards(self, folder: Path) -> dict[str, Any]:
        from kgrl.benchmark.traps import carry_out, summarise_traps
        from kgrl.curriculum.config import DEFAULT_REWARD

        cells = self._trap_episodes()
        with progress("bench", total=len(cells)) as advance:
            rows = carry_out(cells, folder, lambda done, cell: advance(done, f"{cell.task} {cell.agent}"))
        figures = summarise_traps(rows)
        columns = ("reward", "task", "corpus", "noise_share", "exam_aulc", "return_exam_correlation", "episodes")
        _show("rewards", columns, figures)
        return {"suite": self.suite, "default_reward": DEFAULT_REWARD, "rows": figures}

    def _trap_episodes(self) -> list[TrapEpisode]:
        """All episodes, those of one task together."""
        from kgrl.benchmark.traps import GREEDY, TrapEpisode
        from kgrl.curriculum.config import DEFAULT_REWARD
        from kgrl.rewards.expression import as_reward
        from kgrl.rewards.registry import rewards

        named = self.rewards or (DEFAULT_REWARD, *rewards)
        for reward in named:
            as_reward(reward)
        return [
            TrapEpisode(task, corpus, self.learner, agent, rewards, seed, self.sample)
            for (task, corpus), agent in product(self._places(), _listed(self.agents) or (GREEDY, "random"))
            for rewards, seed in product([(name,) for name in named] if agent == GREEDY else [named], range(self.seeds))
        ]

    def _places(self) -> list[tuple[str, str]]:
        """The tasks and the corpora they are on; `invented` has its own."""
        from kgrl.benchmark.tasks import INVENTED, tasks

        chosen = _listed(self.tasks) or tuple(tasks)
        for name in chosen:
            tasks[name.partition(":")[0]]
        named = product(chosen, _listed(self.corpus))
        return list(dict.fromkeys((task, INVENTED if task == "invented" else corpus) for task, corpus in named))


def _listed(values: Iterable[str]) -> tuple[str, ...]:
    """The names in some arguments, each of which may hold several with commas between; each name once."""
    return tuple(dict.fromkeys(name for value in values for part in value.split(",") if (name := part.strip())))


def _all_agents() -> tuple[str, ...]:
    from kgrl.agents.make import agents

    return tuple(agents)


def _show(title: str, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    show_table(title, columns, [["" if row[name] is None else row[name] for name in columns] for row in rows])


def ask_hypothesis(
    corpora: Sequence[str], learners: Sequence[str], questions: Sequence[str], topics: int, seeds: int, folder: Path
) -> dict[str, Any]:
    """Measure what is not measured yet, print the findings and return the figures.

    Args:
        corpora: Corpora by name; several may be in one string, with commas between them.
        learners: Learners by name, likewise.
        questions: transfer, order or recall, likewise; all if none.
        topics: Topics that are learned on forks.
        seeds: Seeds of curricula.
        folder: Keeps what was measured.

    Raises:
        KgrlError: If a name is not known, a number senseless, or the folder is of another version or corpus.
    """
    from kgrl.benchmark.hypothesis.suite import QUESTIONS, Suite

    if min(topics, seeds) < 1:
        raise SettingError(f"topics and seeds must be at least 1, not {topics} and {seeds}")
    suite = Suite(_listed(corpora), _listed(learners), _listed(questions) or QUESTIONS, topics, seeds, folder)
    with progress("hypothesis", total=suite.size) as advance:
        suite.run(advance)
    figures = suite.figures()
    columns = ("question", "corpus", "learner", "n", "effect", "low", "high", "holm", "sentence")
    rows = figures["findings"]
    show_table("findings", columns, [[_shown(row[name]) for name in columns] for row in rows])
    return figures


def _shown(value: Any) -> Any:
    return f"{value:.4f}" if isinstance(value, float) else value
