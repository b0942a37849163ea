"""`kgrl run`: carry out one curriculum and record it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from kgrl.cli.arguments import MOST_COUNT, JsonFile, check_range, default_is
from kgrl.cli.output import progress, show_facts
from kgrl.cli.setting import NO_REWARD, Setting
from kgrl.cli.trust import check_code, remember_code
from kgrl.errors import KgrlError
from kgrl.system.files import absolute
from kgrl.system.starting import load_torch_ahead

if TYPE_CHECKING:
    from kgrl.corpus import Corpus
    from kgrl.curriculum.loop import Curriculum
    from kgrl.curriculum.view import Agent
    from kgrl.probes.recall import Recall
    from kgrl.runs.result import RunResult

__all__ = ["RunCommand", "run_recorded"]

_RECALLED = ("links_recalled", "facts_recalled")
"""The figures of `--link-recall` and `--fact-recall`."""
_FACT_EXAMS = 30
"""Exams of a run of a task that asks for facts, which are learned suddenly."""
_NOTHING_YET = "interrupted before the run began; start it again with the same command"
_LONGEST_GOAL = 40
"""Characters of a goal in the name of a run's folder."""
_OWN_FACTS = 64
"""Most of a corpus's own questions that are asked unless a task or --fact-recall says otherwise."""


@dataclass(frozen=True)
class RunCommand(Setting):
    """Run one curriculum: an agent picks topics from a nucleus outward until the token budget is spent.

    The run is recorded in a folder, with a report. An interrupted run continues with --resume.

    Args:
        agent: Agent that picks the topics: a name that `kgrl info` lists, the folder of a trained policy, a class of
            yours as FILE.py:CLASS, or order:FILE for the order of the titles in a text file, one a line.
        exam_topics: Topics of the exam, one passage each; the same for every agent and seed.
        exam_every: Expansions between two exams: 2, or as many as make 30 exams where a task asks for facts.
        link_recall: Number of questions about links at every exam: the learner tells a sentence of an exam passage from
            the same sentence with other titles.
        fact_recall: Number of questions about facts at every exam: the learner tells a fact from false ones, of an
            invented corpus or of a corpus that brings questions.
        out: Folder for the run.
        resume: Folder of an interrupted run to continue. All other arguments are then read from its config.yaml, but
            for --corpus, --root and --device: they say where things are, and may have moved. If config.yaml names a
            file of a reward or an agent that nobody gave as --reward or --agent on this machine before, kgrl asks
            whether its code may run.
        trust: Files whose code may run, though it is config.yaml that names them.
        json: File for the figures, as one JSON object.
    """

    agent: str = "closure"
    exam_topics: int = 64
    exam_every: Annotated[int | None, default_is("2, or the task's")] = None
    link_recall: int = 0
    fact_recall: Annotated[int | None, default_is("up to 64 of the corpus's own, or the task's")] = None
    out: Annotated[Path | None, default_is("runs/CORPUS-AGENT-LEARNER-SEED-TIME", "FOLDER")] = None
    resume: Annotated[Path | None, default_is("none", "FOLDER")] = None
    trust: Annotated[tuple[Path, ...], default_is("none", "FILE.py [FILE.py ...]")] = ()
    json: JsonFile = None

    named: ClassVar[str] = "kgrl run"

    def run(self) -> dict[str, Any]:
        """Carry out the run, print its figures and return them.

        Raises:
            KgrlError: If a name is unknown or a number out of range, the folder holds another run or names a file
                whose code may not run, or a loss diverges.
        """
        load_torch_ahead()
        from kgrl.learners.accelerated.processes import leading

        with leading():
            return self._run()

    def _run(self) -> dict[str, Any]:
        """Carry out the run, in the one process that does."""
        from kgrl.learners.make import check_learner
        from kgrl.runs.place import hold_folder, unused_folder
        from kgrl.runs.run import Run

        if self.resume is None:
            self.check_task()
            self.check_numbers()
            self.found_device  # noqa: B018 - refused here, before a folder is made
            check_learner(self.learner)  # and before a live run fetches pages
        else:
            Run.read_config(self.resume)  # a folder without a run gets no lock
        folder = self.resume or self.out or unused_folder(Path("runs") / self.default_name())
        with hold_folder(folder):
            try:
                return self._run_in(folder)
            except KeyboardInterrupt as stop:
                begun = (folder / "config.yaml").exists()
                how = f"interrupted; continue with: {self.named} --resume {folder}" if begun else _NOTHING_YET
                raise KeyboardInterrupt(how) from stop

    def _run_in(self, folder: Path) -> dict[str, Any]:
        """Carry out the run in a folder that no other process works in."""
        from kgrl.agents.base import check_space
        from kgrl.retrieval.encoder import Encoder
        from kgrl.runs.checkpoint import Checkpoint
        from kgrl.runs.run import Run

        if self.resume is not None:
            Run.check_resumable(folder)
            Checkpoint.remove_left_over(folder)
        elif (folder / "config.yaml").exists():
            raise KgrlError(f"{folder} holds a run already; continue with --resume {folder}, or choose another --out")
        # A resumed run keeps the setting that it began with: another one would make its record untrue.
        command = self.resumed() if self.resume else self.placed()
        remember_code([self.reward], [self.agent])
        check_code(folder / "config.yaml", [command.reward], [command.agent], self.trust)
        check_space(command.made_agent, Encoder(command.encoder))
        if named := command.named_topics():
            show_facts("", named)
        with command.curriculum_in(folder) as curriculum:
            result = run_recorded(command, folder, curriculum)
        figures = {
            **command.config(),
            "corpus": command.corpus_name,
            **result.summary(),
            **command.noise(result),
            **command.told(curriculum.corpus),
            "folder": str(folder),
        }
        figures["report"] = str(_write_report(command, folder, curriculum, result))
        _show(figures)
        return figures

    def placed(self) -> Self:
        """Return the command with absolute paths, so that it means the same in every working folder."""
        from kgrl.agents.base import POLICY_FILE, absolute_agent, agents

        trained = self.agent not in agents and (Path(self.agent) / POLICY_FILE).is_file()
        return replace(super().placed(), agent=absolute(self.agent) if trained else absolute_agent(self.agent))

    @cached_property
    def made_agent(self) -> Agent:
        """The agent, made once."""
        from kgrl.agents.make import make_agent

        return make_agent(self.agent)

    @property
    def usual_reward(self) -> str:
        """The default reward for an agent that reads it, and none for others: probing for it would cost in vain."""
        from kgrl.agents.base import reads_probes

        return super().usual_reward if reads_probes(self.made_agent) else NO_REWARD

    def check_numbers(self) -> None:
        """Refuse numbers that are out of range; see `Setting.check_numbers`."""
        check_range(
            ("--exam-every", self.exam_every, 1, MOST_COUNT),
            ("--exam-topics", self.exam_topics, 1, MOST_COUNT),
            ("--link-recall", self.link_recall, 0, MOST_COUNT),
            ("--fact-recall", self.fact_recall, 0, MOST_COUNT),
        )
        super().check_numbers()

    @contextmanager
    def curriculum_in(self, folder: Path) -> Iterator[Curriculum]:
        """Give the curriculum of a run that is recorded in a folder."""
        from kgrl.agents.baselines.orders import check_order

        check_order(self.made_agent, self.loaded)
        yield self.make_curriculum(self.loaded)

    def noise(self, result: RunResult) -> dict[str, float]:
        """Return the share of tokens that went to planted topics, where the task has any."""
        if self.made_task is None or not self.made_task.planted.any():
            return {}
        return {"noise_share": self.made_task.noise_share(result.expansions)}

    def told(self, corpus: Corpus) -> dict[str, dict[str, int]]:
        """Return how many of the corpus's own questions train passages tell word for word, by group."""
        from kgrl.data.questions import told_in_training

        return {"told_in_training": told_in_training(corpus)} if corpus.questions and self.facts else {}

    def config(self) -> dict[str, Any]:
        """Return everything that the run can be repeated from, ready for YAML."""
        own = {"agent": self.agent, "exam_topics": self.exam_topics, "exam_every": self.spacing}
        asked = {"link_recall": self.link_recall, "fact_recall": self.facts}
        return {**self.setting(), **self.known_corpus, **own, **asked}

    @cached_property
    def loaded(self) -> Corpus:
        """The corpus, loaded once."""
        return self.load_corpus()

    def load_corpus(self) -> Corpus:
        """Load the corpus; that of a resumed run has to be the one that it began with.

        Raises:
            MissingDataError: If a resumed run's corpus is not there.
            DataError: If it is another one.
        """
        from kgrl.cli.recorded import load_recorded

        load = super().load_corpus
        return load() if self.resume is None else load_recorded(self.resume, self.corpus_name, load)

    @property
    def known_corpus(self) -> dict[str, str]:
        """The entry of `config.yaml` by which the corpus is known wherever it is."""
        from kgrl.cli.recorded import FINGERPRINT

        return {FINGERPRINT: self.loaded.fingerprint}

    @property
    def facts(self) -> int:
        """Number of questions about facts at every exam."""
        return self.usual_facts if self.fact_recall is None else self.fact_recall

    @property
    def usual_facts(self) -> int:
        """Number of questions about facts where nobody says another: the task's, or of the corpus's own."""
        if self.made_task is not None:
            return self.made_task.facts
        return min(_OWN_FACTS, len(self.loaded.questions))

    @property
    def spacing(self) -> int:
        """Expansions between two exams."""
        if self.exam_every is not None or self.made_task is None or not self.made_task.facts:
            return self.exam_every or 2
        config = self.curriculum_config()
        return max(1, config.budget_tokens // (config.expansion_tokens * _FACT_EXAMS))

    def default_name(self) -> str:
        """Return a folder name made from the setting and the time."""
        from kgrl.agents.base import agent_name
        from kgrl.curriculum.named_topics import goal_label

        safe_agent = agent_name(self.agent)
        goal = self.goal and goal_label(self.goal)[:_LONGEST_GOAL]
        learned = [Path(self.corpus_name).name, goal] if self.task is None else [self.task, self.corpus]
        parts = [*learned, safe_agent, self.learner, f"seed{self.seed}"]
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        # Names of corpora, tasks and goals have spaces, slashes and colons, and a learner may have options, which are
        # trouble in paths.
        return "-".join(re.sub(r"[ /:=,]", "_", part) for part in (*filter(None, parts), stamp))

    def resumed(self) -> Self:
        """Return the command that started the run in the folder `resume`, with the places that are given now."""
        from kgrl.cli.recorded import FINGERPRINT
        from kgrl.data.load import absolute_corpus
        from kgrl.runs.run import Run
        from kgrl.system.schemas import checked

        assert self.resume is not None
        # Runs from before encoders had names used MiniLM, and all topics were drawn alike.
        config = {"encoder": "minilm", "light_probes": False, **Run.read_config(self.resume)}
        config.pop(FINGERPRINT, None)  # no argument: what is loaded is compared with it
        command = checked(config, type(self), self.resume / "config.yaml")
        command.check_numbers()
        places: dict[str, Any] = {
            "corpus": self.corpus and absolute_corpus(self.corpus),
            "root": self.root and Path(absolute(self.root)),
            "device": self.device,
        }
        given = {name: place for name, place in places.items() if place is not None}
        return replace(command, json=self.json, resume=self.resume, **given)


def run_recorded(command: RunCommand, folder: Path, curriculum: Curriculum) -> RunResult:
    """Carry out a run in a folder, with a progress bar.

    Args:
        command: What to run.
        folder: The run's folder. If it holds a checkpoint, the run continues from there.
        curriculum: The command's curriculum. Its learner can serve one run after another.
    """
    from kgrl.agents.base import agent_name
    from kgrl.runs.run import Run

    exam = command.make_exam(curriculum, command.exam_topics)
    recall = _recall(command, curriculum)
    run = Run(folder, curriculum, command.made_agent, exam, command.config(), command.spacing, recall)
    named = f"{agent_name(command.agent)}, seed {command.seed}"
    with progress(named, total=curriculum.config.budget_tokens) as advance:
        return run.carry_out(lambda expansion, loss: advance(expansion.tokens_total, _line(expansion.title, loss)))


def _recall(command: RunCommand, curriculum: Curriculum) -> dict[str, Recall]:
    """The questions that `--link-recall` and `--fact-recall` ask for."""
    from kgrl.data.questions import questions_about
    from kgrl.probes.questions import link_questions
    from kgrl.probes.recall import Recall

    corpus, recall = curriculum.corpus, {}
    links, facts = _RECALLED
    if command.link_recall:
        questions = link_questions(corpus, curriculum.nucleus, command.link_recall, curriculum.goal)
        recall[links] = Recall(corpus, questions)
    if command.facts:
        task, size = command.made_task, command.facts
        questions = questions_about(corpus, size) if task is None else task.draw_questions(size)
        recall[facts] = Recall(corpus, questions)
    return recall


def _write_report(command: RunCommand, folder: Path, curriculum: Curriculum, result: RunResult) -> Path:
    from kgrl.agents.base import agent_name
    from kgrl.curriculum.named_topics import goal_label
    from kgrl.report.data import RunData
    from kgrl.report.page import write_report

    path, agent = folder / "report.html", agent_name(command.agent)
    # The widest word for what was learned that the setting has.
    about = command.task or (goal_label(command.goal) if command.goal else command.corpus_name)
    write_report(path, f"{about}: {agent}", [RunData.of(agent, result, curriculum)], curriculum.corpus.graph)
    return path


def _line(title: str, loss: float | None) -> str:
    return title if loss is None else f"{title} (exam {loss:.3f})"


def _show(figures: dict[str, Any]) -> None:
    from kgrl.agents.base import agent_name

    facts = [
        ("exam loss before", f"{figures['exam_loss_before']:.4f} nats per token"),
        ("exam loss after", f"{figures['exam_loss_after']:.4f}"),
        ("area under the curve", f"{figures['aulc']:.4f}"),
        ("tokens", f"{figures['tokens']:,} trained, {figures['probe_tokens']:,} read in probing"),
        *_steps(figures),
        ("seconds", f"{figures['seconds']:.0f}"),
        *((name.replace("_", " "), _change(figures[name])) for name in _RECALLED if name in figures),
        *_told(figures.get("told_in_training", {})),
        *((("on planted topics", f"{figures['noise_share']:.1%} of the tokens"),) if "noise_share" in figures else ()),
        ("folder", figures["folder"]),
        ("report", figures["report"]),
    ]
    task = f", task {figures['task']}" if figures["task"] else ""
    show_facts(f"{agent_name(figures['agent'])} on {figures['corpus']}{task}", facts)


def _steps(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the facts about expansions and topics."""
    if figures["mastery"] == "read":
        return [("expansions", f"{figures['expansions']} ({figures['topics']} topics)")]
    solid = f"{figures['solid']:,} solid by {figures['mastery']}"
    standing = f"{figures['read']:,} read, {solid}, {figures['faded']:,} faded"
    return [("expansions", f"{figures['expansions']}"), ("topics", standing)]


def _change(recalled: Mapping[str, Any]) -> str:
    """Return the shares recalled before and after training, with 95% intervals, as text."""
    before, after = (
        f"{moment['share']:.1%} ({moment['interval'][0]:.1%} to {moment['interval'][1]:.1%})"
        for moment in (recalled["before"], recalled["after"])
    )
    return f"{before} before, {after} after; {recalled['after']['chance']:.1%} by chance"


def _told(told: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return a line on questions whose statement is in the train text, since these ask for memory of words."""
    groups = ", ".join(f"{group} {count:,}" for group, count in told.items())
    return [("told word for word", f"{sum(told.values()):,} of the corpus's questions ({groups})")] if told else []
