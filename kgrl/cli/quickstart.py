"""`kgrl quickstart`: the main comparison in one command, random against curiosity towards a goal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from kgrl.cli.arguments import JsonFile, default_is
from kgrl.cli.output import show_facts, show_table
from kgrl.cli.run import RunCommand, run_recorded
from kgrl.cli.setting import NO_REWARD
from kgrl.errors import KgrlError

if TYPE_CHECKING:
    from kgrl.corpus import Corpus
    from kgrl.curriculum.loop import Curriculum
    from kgrl.runs.result import RunResult

__all__ = ["QuickstartCommand"]

BASELINE = "random"
"""The agent that the other one is compared with."""
_EXPANSIONS = 12
"""Expansions in the budget: enough for the order of topics to show, few enough to finish in minutes."""
_FIRST_LEARNER = "scratch"
"""The learner of the first comparison, which takes seconds, so that there is something to look at early."""


@dataclass(frozen=True)
class QuickstartCommand:
    """Compare random topic order with a curiosity agent on one goal, and write a report.

    Two curricula grow from the same nucleus, with the same learner and seed. Their exam losses on the goal's topics are
    printed side by side. A small learner shows the comparison first, within seconds; then the one asked for follows.

    Args:
        goal: Category to learn about; `kgrl graph` lists a corpus's categories.
        agent: Agent to compare with random: a name that `kgrl info` lists, the folder of a trained policy, or a class
            of yours as FILE.py:CLASS.
        corpus: Corpus: a name that `kgrl info` lists, or a folder.
        learner: Learner: lora (SmolLM2-135M with a LoRA adapter), scratch (a small transformer with random weights) or
            another that `kgrl info` lists.
        budget_tokens: Tokens that each curriculum trains on.
        seed: Random seed of both curricula.
        out: Folder for both runs and the report.
        json: File for the figures, as one JSON object.
    """

    goal: str = "Mathematics"
    agent: str = "curiosity"
    corpus: str = "vital"
    learner: str = "lora"
    budget_tokens: int = 6_000
    seed: int = 0
    out: Annotated[Path | None, default_is("runs/quickstart-TIME", "FOLDER")] = None
    json: JsonFile = None

    def run(self) -> dict[str, Any]:
        """Carry out both runs, print the comparison, write the report and return the figures.

        Raises:
            KgrlError: If the agent is the baseline itself, a name is not known, or a loss diverges.
        """
        if self.agent == BASELINE:
            raise KgrlError(f"{BASELINE} is what the other agent is compared with; choose another --agent")
        folder = self.out or Path("runs") / datetime.now().strftime("quickstart-%Y%m%d-%H%M%S")
        corpus = self._command(BASELINE, self.learner).load_corpus()
        first = {}
        if self.learner != _FIRST_LEARNER:
            first = {"first": self._compare_with(_FIRST_LEARNER, corpus, folder / "first")}
        return {"goal": self.goal, "seed": self.seed, **self._compare_with(self.learner, corpus, folder), **first}

    def _compare_with(self, learner: str, corpus: Corpus, folder: Path) -> dict[str, Any]:
        """Carry out both runs with a learner, print the comparison, write its report and return the figures."""
        from kgrl.agents.base import agent_name

        # By the names of their folders: an agent may be a folder or a file elsewhere.
        commands = {agent_name(agent): self._command(agent, learner) for agent in (BASELINE, self.agent)}
        # One learner serves both runs in turn: each run puts it back to its first state, so that weights are the same.
        taught = commands[BASELINE].make_learner(corpus)
        curricula = {name: c.make_curriculum(corpus, taught) for name, c in commands.items()}
        results = {name: run_recorded(c, folder / name, curricula[name]) for name, c in commands.items()}
        figures = _compare(results)
        report = self._write_report(folder, curricula[BASELINE], results)
        _show(f"{self.goal} with the learner {learner}", results, figures, report)
        return {"learner": learner, "report": str(report), "agents": figures}

    def _command(self, agent: str, learner: str) -> RunCommand:
        from kgrl.agents.base import reads_probes
        from kgrl.agents.make import make_agent

        command = RunCommand(
            corpus=self.corpus,
            learner=learner,
            reward="target-prediction-gain" if reads_probes(make_agent(agent)) else NO_REWARD,
            goal=self.goal,
            budget_tokens=self.budget_tokens,
            expansion_tokens=max(2, -(-self.budget_tokens // _EXPANSIONS)),  # rounded up; 2 is the least there is
            seed=self.seed,
            agent=agent,
            exam_topics=48,
            exam_every=4,
        )
        return command.placed()

    def _write_report(self, folder: Path, curriculum: Curriculum, results: dict[str, RunResult]) -> Path:
        from kgrl.report.data import RunData
        from kgrl.report.page import write_report

        path = folder / "report.html"
        runs = [RunData.of(name, result, curriculum) for name, result in results.items()]
        write_report(path, f"{self.goal}: {BASELINE} and {self.agent}", runs, curriculum.corpus.graph)
        return path


def _compare(results: dict[str, RunResult]) -> dict[str, dict[str, Any]]:
    """Return each agent's figures, with its tokens to the baseline's final loss (None if it never got there)."""
    from kgrl.runs.metrics import tokens_to_target

    target = results[BASELINE].curve[-1][1]
    return {
        name: {**result.summary(), "tokens_to_target": tokens_to_target(result.curve, target)}
        for name, result in results.items()
    }


def _show(about: str, results: dict[str, RunResult], figures: dict[str, dict[str, Any]], report: Path) -> None:
    losses = {name: dict(result.curve) for name, result in results.items()}
    # Exams are taken after whole expansions, so the two curves need not have the same numbers of tokens.
    tokens = sorted(set().union(*losses.values()))
    rows = [[t, *(f"{losses[name][t]:.3f}" if t in losses[name] else "" for name in losses)] for t in tokens]
    show_table(f"Exam loss on {about}, nats per token", ["tokens", *losses], rows)
    columns = ["agent", "before", "after", "area", "tokens needed", "seconds"]
    show_table(f"Tokens needed to the final loss of {BASELINE}", columns, [_row(n, f) for n, f in figures.items()])
    show_facts("", [("report", report)])


def _row(name: str, figures: dict[str, Any]) -> list[object]:
    needed = figures["tokens_to_target"]
    losses = [float(figures[key]) for key in ("exam_loss_before", "exam_loss_after", "aulc")]
    return [name, *losses, "not reached" if needed is None else f"{needed:,.0f}", round(figures["seconds"])]
