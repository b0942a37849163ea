"""`kgrl bench`: compare agents with random picks, rewards with one another, or test the seed hypothesis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from kgrl.cli.arguments import MOST_TOKENS, JsonFile, check_range, default_is
from kgrl.cli.output import progress, show_facts, show_table
from kgrl.curriculum.config import LEAST_TOKENS
from kgrl.errors import SettingError

if TYPE_CHECKING:
    from kgrl.benchmark.runner import Cell
    from kgrl.benchmark.traps import TrapEpisode

__all__ = ["BenchCommand", "ask_hypothesis"]

_FIGURES = ("agent", "seeds", "aulc_iqm", "speedup", "noise_share", "verdict")
_PAID = ("paid_rereading", "paid_random")
_ALL = "all"
_MOST_PARTS = 1_000_000
"""The largest number of seeds, topics, candidates or workers; cells are listed before the first is carried out."""


@dataclass(frozen=True)
class BenchCommand:
    """Compare agents with random picks, find rewards that can be hacked, or test whether learning follows links.

    --suite agents: the curricula of every agent on every task, with paired seeds, and a verdict against random for
    each. A cell is one agent on one task with one seed; an agent that crashes fails that cell only, which is tried
    again the next time. Several goals of the task target (target:History target:Geography) also get one speed-up over
    all goals together. A ranking needs the agent oracle, since scores lie between random's 0 and the oracle's 1. The
    folder gets a report: report.html, report.md, tables and pictures.

    --suite rewards: the agent greedy follows each reward in turn on every task. Other agents play once per seed, and
    the sum that each reward would have paid them is noted. The agent rereading shows whether a reward pays for reading
    again what is known. Rewards that need something the learner or the task does not have are left out.

    --suite hypothesis: whether learning follows links. Its tasks are transfer, order and recall. Several learners may
    be named, with commas between them.

    Finished results stay in the folder: a stopped benchmark continues when it is started again, also with more agents
    or seeds.

    Args:
        suite: Suite to run.
        rewards: Suite rewards: rewards to compare, as names that `kgrl info` lists or as expressions.
        tasks: Tasks, with spaces or commas between them; `kgrl info` lists them. target:Technology is the task target
            with the goal Technology, and "target:about:SENTENCE" with the topics that are most similar to a sentence
            without commas.
        corpus: Corpora, with spaces or commas between them: names that `kgrl info` lists, or folders. The task invented
            has its own.
        learner: Learner: a name that `kgrl info` lists, with options after a colon, such as lora:rank=16.
        agents: Agents, with spaces or commas between them: names that `kgrl info` lists, folders of trained policies,
            classes of yours as FILE.py:CLASS, order:FILE for the titles in a text file, or all. Suite rewards: also
            greedy, which tries a sample of candidates and takes the one that the reward pays most for, and rereading,
            which reads again what is known.
        seeds: Number of seeds, the same for every agent.
        topics: Suite hypothesis: number of topics that are learned on forks, to measure the effect on others.
        budget_tokens: Suite agents: most tokens of a curriculum.
        sample: Suite rewards: candidates that greedy tries at each step.
        encoder: Sentence encoder: static (ships with kgrl), minilm, or another by its Hugging Face name or folder.
        device: Device that learner and encoder compute on: cpu, cuda, cuda:1, mps, or auto for the fastest that is
            there. Results of another device than the CPU are kept apart, by the learner's name.
        workers: Suite agents: cells at a time, with one thread each.
        executor: Suite agents: place to run cells: process (processes of this machine), ray, or serial (this process,
            where an agent that kills its process ends the benchmark).
        out: Folder for the results.
        json: File for the figures, as one JSON object.
    """

    suite: Literal["agents", "rewards", "hypothesis"] = "agents"
    rewards: Annotated[tuple[str, ...], default_is("the default reward and every registered one")] = ()
    tasks: Annotated[tuple[str, ...], default_is("all tasks of the suite")] = ()
    corpus: tuple[str, ...] = ("vital",)
    learner: str = "scratch"
    agents: Annotated[tuple[str, ...], default_is("all; in the suite rewards greedy, rereading and random")] = ()
    seeds: int = 2
    topics: int = 200
    budget_tokens: Annotated[int | None, default_is("the task's")] = None
    sample: int = 8
    encoder: str = "static"
    device: str = "cpu"
    workers: int = 1
    executor: Literal["process", "ray", "serial"] = "process"
    out: Annotated[Path | None, default_is("runs/bench-SUITE", "FOLDER")] = None
    json: JsonFile = None

    def run(self) -> dict[str, Any]:
        """Carry out the cells without a result, print tables and return the figures.

        Raises:
            KgrlError: If a name is unknown or a number out of range, a reward needs what a task or the learner cannot
                give, or the folder holds results of another version, corpus, budget, learner or agent.
        """
        counts = {"--seeds": self.seeds, "--sample": self.sample, "--workers": self.workers, "--topics": self.topics}
        check_range(
            *((name, count, 1, _MOST_PARTS) for name, count in counts.items()),
            ("--budget-tokens", self.budget_tokens, LEAST_TOKENS, MOST_TOKENS),
        )
        folder = self.out or Path(f"runs/bench-{self.suite}")
        if self.suite == "hypothesis":
            return ask_hypothesis(
                self.corpus, self._learners(), self.tasks, self.topics, self.seeds, folder, self._encoder()
            )
        return self._compare_agents(folder) if self.suite == "agents" else self._compare_rewards(folder)

    def _learners(self, *, several: bool = True) -> tuple[str, ...]:
        """The learners, each by its name with the device, where that is not the CPU."""
        from kgrl.system.devices import find_device
        from kgrl.system.options import join_options, split_options

        named = _learner_names((self.learner,)) if several else (self.learner,)
        if self.device == "cpu":
            return named
        # By the device that auto stands for: results of devices differ in the last digits.
        device = str(find_device(self.device))
        return tuple(
            name if split_options(name)[0] == "simulated" else join_options(name, device=device) for name in named
        )

    def _encoder(self) -> str:
        from kgrl.retrieval.encoder import on_device

        return on_device(self.encoder, self.device)

    def _compare_agents(self, folder: Path) -> dict[str, Any]:
        from kgrl.benchmark.comparison import across_goals, compare, missing
        from kgrl.benchmark.folder import check_folder
        from kgrl.benchmark.report.page import write_benchmark_report
        from kgrl.benchmark.runner import failures, read_rows
        from kgrl.benchmark.scores import rank_agents

        cells = self._agent_cells()
        check_folder(folder, cells)  # makes each agent, corpus and task, so that errors show before hours of work
        self._carry_out(cells, folder)
        # The folder's rows, not only those of this command: a benchmark grows by several commands.
        report, rows = write_benchmark_report(folder), read_rows(folder)
        figures, ranking = compare(rows), rank_agents(rows)
        # With one goal this would only repeat the speed-up of the table of agents.
        goals = [row for row in across_goals(rows) if row["goals"] > 1]
        failed, absent = failures(rows), missing(rows)
        _show("agents", ("task", "corpus", "learner", *_FIGURES), figures)
        _show_ranking(ranking)
        if goals:
            _show("all goals together", ("learner", "agent", "goals", "speedup", "speedup_low", "speedup_high"), goals)
        for title, lines in (("failed", failed), ("missing", absent)):
            if lines:
                show_table(title, ("cell",), [[line] for line in lines])
        show_facts("", [("report", report)])
        figured = {"rows": figures, "across_goals": goals, "ranking": ranking, "failed": failed, "missing": absent}
        return {"suite": self.suite, **figured, "report": str(report)}

    def _carry_out(self, cells: Sequence[Cell], folder: Path) -> None:
        """Carry out the cells, with a progress bar that knows how long each kind of cell takes."""
        from kgrl.benchmark.runner import Pace, run_cells
        from kgrl.system.executors import executors

        executor, pace = executors.make(self.executor, workers=self.workers), Pace(cells, self.workers)
        with progress("bench", total=len(cells)) as advance:
            for done, row in enumerate(run_cells(cells, folder, executor), start=1):
                pace.book(row)
                advance(done, f"{row['task']} {row['agent']}", pace.left())

    def _agent_cells(self) -> list[Cell]:
        """Return the cells in the order of seeds, so that a stopped benchmark has as many seeds of every agent."""
        from kgrl.agents.base import absolute_agent
        from kgrl.agents.make import agents as registered
        from kgrl.benchmark.comparison import BASELINE
        from kgrl.benchmark.runner import Cell

        # Random is in every benchmark, as the baseline.
        named = _listed(self.agents)
        (learner,) = self._learners(several=False)
        # With whole paths, since a worker may have another folder.
        chosen = registered if named in ((), (_ALL,)) else map(absolute_agent, named)
        agents = dict.fromkeys((BASELINE, *chosen))
        return [
            Cell(task, corpus, learner, agent, seed, self.budget_tokens, self._encoder())
            for seed, (task, corpus), agent in product(range(self.seeds), self._places(), agents)
        ]

    def _compare_rewards(self, folder: Path) -> dict[str, Any]:
        from kgrl.benchmark.traps import carry_out, summarise_traps
        from kgrl.curriculum.config import DEFAULT_REWARD

        cells = self._trap_episodes()
        with progress("bench", total=len(cells)) as advance:
            rows = carry_out(cells, folder, lambda done, cell: advance(done, f"{cell.task} {cell.agent}"))
        figures = summarise_traps(rows)
        columns = (
            "reward",
            "task",
            "corpus",
            "noise_share",
            "exam_aulc",
            "return_exam_correlation",
            *_PAID,
            "episodes",
        )
        _show("rewards", columns, figures)
        return {"suite": self.suite, "default_reward": DEFAULT_REWARD, "rows": figures}

    def _trap_episodes(self) -> list[TrapEpisode]:
        """Return all episodes, those of one task together."""
        from kgrl.benchmark.traps import GREEDY, REREADING, TrapEpisode
        from kgrl.curriculum.config import DEFAULT_REWARD
        from kgrl.rewards.expression import as_reward
        from kgrl.rewards.registry import rewards

        # Rewards are not split at commas, which expressions may hold.
        named = self.rewards or (DEFAULT_REWARD, *rewards)
        (learner,) = self._learners(several=False)
        for reward in named:
            as_reward(reward)  # raises for an unknown name or a misspelt expression
        return [
            TrapEpisode(task, corpus, learner, agent, rewards, seed, self.sample, self._encoder())
            for (task, corpus), agent in product(self._places(), _listed(self.agents) or (GREEDY, REREADING, "random"))
            # Greedy plays an episode for each reward, others one in which all rewards are added up.
            for rewards, seed in product([(name,) for name in named] if agent == GREEDY else [named], range(self.seeds))
        ]

    def _places(self) -> list[tuple[str, str]]:
        """Return the tasks and the corpora they are on; those on invented worlds have their own.

        Tasks about what is known are among them if they are asked for by name.
        """
        from kgrl.benchmark.tasks import KNOWLEDGE, USUAL_CORPORA, tasks

        chosen = _listed(self.tasks) or tuple(task for task in tasks if task not in KNOWLEDGE)
        for name in chosen:
            tasks[name if name in tasks else name.partition(":")[0]]  # raises for an unknown task
        named = product(chosen, _listed(self.corpus))
        return list(dict.fromkeys((task, USUAL_CORPORA.get(task, corpus)) for task, corpus in named))


def _learner_names(values: Sequence[str]) -> tuple[str, ...]:
    """The learners of a listing, in which commas are between learners and between the options of one."""
    names = list[str]()
    for part in _listed(values):
        option = "=" in part and ":" not in part.partition("=")[0]
        if option and names:
            names[-1] += f",{part}"
        else:
            names.append(part)
    return tuple(names)


def _listed(values: Iterable[str]) -> tuple[str, ...]:
    """Return the names in some arguments, which may hold several with commas between them; each name once."""
    return tuple(dict.fromkeys(name for value in values for part in value.split(",") if (name := part.strip())))


def _show(title: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    show_table(title, columns, [["" if row[name] is None else row[name] for name in columns] for row in rows])


def _show_ranking(ranking: Sequence[Mapping[str, Any]]) -> None:
    """Print the ranking of each learner's agents; a line instead where no agent has a score to be ranked by."""
    from kgrl.benchmark.scores import CEILING

    scored = {row["learner"] for row in ranking if row["score"] is not None}
    if scored:
        columns = ("learner", "rank", "agent", "places", "score", "score_low", "score_high")
        _show("ranking", columns, [row for row in ranking if row["learner"] in scored])
    for learner in sorted({row["learner"] for row in ranking} - scored):
        benched = any(row["agent"] == CEILING for row in ranking if row["learner"] == learner)
        why = f"{CEILING} is nowhere clearly better than random" if benched else f"--agents has no {CEILING}"
        show_facts("", [(f"no ranking of {learner}", f"{why}, and scores run from random (0) to {CEILING} (1)")])


def ask_hypothesis(
    corpora: Sequence[str],
    learners: Sequence[str],
    questions: Sequence[str],
    topics: int,
    seeds: int,
    folder: Path,
    encoder: str,
) -> dict[str, Any]:
    """Take the measurements that the folder does not hold, print the findings and return the figures.

    Args:
        corpora: Corpora by name; one string may hold several, with commas between them.
        learners: Learners by name, likewise.
        questions: transfer, order or recall, likewise; all if none.
        topics: Number of topics that are learned on forks.
        seeds: Number of seeds of curricula.
        folder: Folder of the measurements.
        encoder: The sentence encoder by name.

    Raises:
        KgrlError: If a name is unknown, a number out of range, or the folder is of another version, encoder or corpus.
    """
    from kgrl.benchmark.hypothesis.suite import QUESTIONS, Suite

    if min(topics, seeds) < 1:
        raise SettingError(f"topics and seeds must be at least 1, not {topics} and {seeds}")
    suite = Suite(
        _listed(corpora), _learner_names(learners), _listed(questions) or QUESTIONS, topics, seeds, folder, encoder
    )
    with progress("hypothesis", total=suite.size) as advance:
        suite.run(advance)
    figures = suite.figures()
    columns = ("question", "corpus", "learner", "n", "effect", "low", "high", "holm", "sentence")
    rows = figures["findings"]
    # Four decimals: effects are a few hundredths of a nat, and p-values below 0.001 count.
    cells = [[row[name] for name in columns] for row in rows]
    show_table("findings", columns, [[f"{v:.4f}" if isinstance(v, float) else v for v in row] for row in cells])
    return figures
