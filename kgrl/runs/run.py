"""A run in a folder: a curriculum carried out, measured and recorded so that it can be resumed and repeated.

    runs/NAME/config.yaml         everything needed to repeat the run
    runs/NAME/curriculum.jsonl    one expansion a line, written as it happens
    runs/NAME/choices.jsonl       the agent's preferences at each choice, one a line; empty if it states none
    runs/NAME/metrics.jsonl       tokens, losses and seconds after each expansion; at exams also continual-learning
                                  metrics and, if questions are asked, their answers; the first line says to what
    runs/NAME/events.*            the same for TensorBoard
    runs/NAME/checkpoint/         learner and random state after the latest expansion; see `kgrl.runs.checkpoint`
    runs/NAME/adapters/           the adapters of a LoRA learner, as plain PEFT folders
    runs/NAME/result.json         the final figures, see `RunResult.summary`
    runs/NAME/report.html         a page with all of it, written by `kgrl run`

The module does not know data sources or the inside of agents.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kgrl.curriculum.loop import Curriculum
from kgrl.curriculum.view import Agent
from kgrl.errors import DataError, DivergedError
from kgrl.exam import Exam
from kgrl.expansion import Expansion, ExpansionList
from kgrl.probes.recall import Recall, check_reads_text
from kgrl.runs.checkpoint import PLACES, Checkpoint
from kgrl.runs.choices import Noting, noting
from kgrl.runs.metrics import continual_metrics
from kgrl.runs.place import hold_folder
from kgrl.runs.records import RecordFile, read_metrics
from kgrl.runs.result import RunResult
from kgrl.system.files import write_json, write_text
from kgrl.system.json_lines import read_records
from kgrl.system.schemas import read_yaml, yaml_text

if TYPE_CHECKING:
    from kgrl.learners.adapters.folder import AdapterFacts

__all__ = ["Run"]

_RECORDS = ("choices", "curriculum", "metrics")
"""The files of records, without their ending."""


class Run:
    """Carries out a curriculum in a folder.

    Args:
        folder: The run's folder; made if it is missing, resumed if it holds a checkpoint.
        curriculum: The curriculum.
        agent: Chooses its topics or passages.
        exam: The exam to take.
        config: The contents of `config.yaml`. An existing file is kept; a resumed run writes the places in it anew, see
            `kgrl.runs.checkpoint.PLACES`.
        exam_every: Expansions between exams; the exam is also taken before training, after the nucleus and at the end.
        recall: Questions to ask the learner at every exam, by the name of their figures. Neither rewards nor agents see
            the answers.

    Raises:
        SettingError: If there are questions and the learner reads no text.

    Example:
        >>> run = Run(Path("runs/mine"), curriculum, agent, exam, config={})    # doctest: +SKIP
        >>> run.carry_out()                                                     # doctest: +SKIP
        RunResult(21 expansions, 20,000 tokens, exam loss 5.12 to 4.33, 63.2 s)
        >>> Run.read_expansions(Path("runs/mine"))                              # doctest: +SKIP
        ExpansionList(21 expansions from 'Mathematics' to 'Logic', 20,000 of 20,000 tokens)
    """

    def __init__(
        self,
        folder: Path,
        curriculum: Curriculum,
        agent: Agent,
        exam: Exam,
        config: Mapping[str, Any],
        exam_every: int = 2,
        recall: Mapping[str, Recall] | None = None,
    ) -> None:
        self.folder, self.curriculum, self.agent, self.exam = folder, curriculum, noting(agent), exam
        self.exam_every, self.recall = exam_every, dict(recall or {})
        if self.recall:
            check_reads_text(curriculum.learner)
        self._metrics: list[dict[str, Any]] = []
        self._expansions: list[Expansion] = []
        self._seconds_before = 0.0
        self._config = dict(config)
        self._records = {name: RecordFile(folder / f"{name}.jsonl") for name in _RECORDS}
        self._checkpoint: Checkpoint | None = None
        self._about: dict[str, Any] = {}
        if not (folder / "config.yaml").exists():
            write_text(folder / "config.yaml", yaml_text(config))

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, {self.curriculum}, {self.agent})"

    @staticmethod
    def read_config(folder: Path) -> dict[str, Any]:
        """Return the configuration of a run.

        Raises:
            DataError: If the folder holds no run, or its configuration cannot be read.
        """
        path = folder / "config.yaml"
        if not path.is_file():
            raise DataError(path, None, "no such file; a run folder holds config.yaml and curriculum.jsonl")
        return read_yaml(path, dict[str, Any], "a configuration has lines such as 'seed: 0'")

    @staticmethod
    def read_expansions(folder: Path) -> ExpansionList:
        """Return the records of a run, the nucleus first; empty if the run has not begun.

        A last line that was interrupted while being written is left out.

        Raises:
            DataError: If a line is not a record of an expansion.
        """
        return ExpansionList(read_records(folder / "curriculum.jsonl", Expansion))

    @staticmethod
    def check_resumable(folder: Path) -> None:
        """Refuse a run whose checkpoint, records or configuration are not as it left them; nothing is changed.

        A run without a checkpoint is not refused, since it begins anew.

        Args:
            folder: The run's folder.

        Raises:
            DataError: If the folder holds no run, a file is damaged or missing, lines of a record were changed, or the
                configuration or kgrl's version is another one.
        """
        config, checkpoint = Run.read_config(folder), Checkpoint.read(folder)
        if checkpoint is not None:
            checkpoint.check_about(folder, {"config": config, "kgrl": version("kgrl")})
            for name, mark in checkpoint.records.items():
                RecordFile(folder / f"{name}.jsonl").check(mark)

    def carry_out(self, on_expansion: Callable[[Expansion, float | None], None] | None = None) -> RunResult:
        """Run the curriculum to its end, from its checkpoint if it has one.

        Args:
            on_expansion: Called with each new expansion, and the exam loss if the exam was taken after it, else None.

        Raises:
            DivergedError: If a loss becomes NaN or infinite; everything written so far stays.
            DataError: If there is a checkpoint that is damaged, or was made by another run than this one.
            KgrlError: If another process works in the folder.
        """
        with hold_folder(self.folder):
            return self._carry_out(on_expansion)

    def _carry_out(self, on_expansion: Callable[[Expansion, float | None], None] | None) -> RunResult:
        from torch.utils.tensorboard import SummaryWriter  # imports torch, which reading a run does not need

        began = time.perf_counter()
        self._checkpoint = Checkpoint.read(self.folder)
        resumed = self._checkpoint is not None
        if self._checkpoint is not None:
            self._resume(self._checkpoint)
        else:
            self._begin()
        self._note_places()
        try:
            with SummaryWriter(str(self.folder)) as events:
                for expansion in self.curriculum.run(self.agent, resume=resumed):
                    loss = self._after(expansion, began)
                    self._log_events(events, expansion, loss)
                    if on_expansion is not None:
                        on_expansion(expansion, loss)
            self._finish(began)
        except DivergedError as error:
            # Everything was written as it happened, so the run can be looked at up to here.
            raise DivergedError(f"{error}; what was done until then is in {self.folder}") from error
        return self._result(began)

    def _begin(self) -> None:
        """Start with empty records and the exam of the untrained learner."""
        self._about = self._describe()
        for record in self._records.values():
            record.begin()
        self.curriculum.state.rewind()
        # Pages about the run need the nucleus, and the configuration may only say how it is chosen.
        nucleus = self.curriculum.nucleus.tolist()
        self._note({"index": -1, "tokens": 0, "nucleus": nucleus, **self._asked()}, self._examine())

    def _note_places(self) -> None:
        """Write down where the corpus is now, and what computes; the run is the same wherever they are."""
        told = self.read_config(self.folder)
        now = {name: value for name, value in self._config.items() if name in PLACES}
        if now != {name: value for name, value in told.items() if name in PLACES}:
            kept = {name: value for name, value in told.items() if name not in PLACES or name in now}
            write_text(self.folder / "config.yaml", yaml_text({**kept, **now}))

    def _after(self, expansion: Expansion, began: float) -> float | None:
        """Record an expansion, take the exam if it is due, and write a checkpoint; return the exam loss."""
        # The choice first: a viewer that follows the run expects it once the expansion is there.
        if isinstance(self.agent, Noting) and self.agent.choice is not None:
            self._records["choices"].append(self.agent.choice.to_json())
        self._records["curriculum"].append(expansion.to_json())
        self._expansions.append(expansion)
        due = expansion.index % self.exam_every == 0 or self.curriculum.state.out_of_budget
        exam = self._examine() if due else None
        self._note({"index": expansion.index, "tokens": expansion.tokens_total, **self._figures(expansion)}, exam)
        self._save_checkpoint(expansion.index, began)
        return None if exam is None else float(exam["exam_loss"])

    def _figures(self, expansion: Expansion) -> dict[str, Any]:
        return {
            "chosen": self.curriculum.begun,
            "changed": expansion.changed,
            "chunked": expansion.chunked,
            "train_loss": expansion.train_loss,
            "reward": expansion.reward,
            **self._standing(),
            "frontier": len(self.curriculum.state.frontier),
            "seconds": dict(expansion.seconds),
        }

    def _standing(self) -> dict[str, int]:
        """The numbers of topics that are read, solid and faded."""
        standing = self.curriculum.state.standing
        return {"read": standing.n_read, "solid": len(standing.frontier.solid), "faded": standing.n_faded}

    def _examine(self) -> dict[str, Any]:
        """The exam's part of a line of metrics."""
        began = time.perf_counter()
        losses = self.exam.losses(self.curriculum.learner)
        return {
            "exam_loss": float(losses.mean()),
            "exam_seconds": time.perf_counter() - began,
            "exam_losses": losses.tolist(),
            **self._recalled(),
        }

    def _asked(self) -> dict[str, Any]:
        """Topic and group of each question, by the name of the questions: what the answers in later lines are to."""
        asked = {
            name: {"topics": [q.topic for q in recall.questions], "groups": [q.group for q in recall.questions]}
            for name, recall in self.recall.items()
        }
        return {"questions": asked} if asked else {}

    def _recalled(self) -> dict[str, Any]:
        """The figures of the learner's answers, by the name of the questions; empty without questions."""
        began = time.perf_counter()
        figures = {name: recall.measure(self.curriculum.learner).figures() for name, recall in self.recall.items()}
        return {**figures, "recall_seconds": time.perf_counter() - began} if figures else {}

    def _kept(self) -> dict[str, Any]:
        """Continual-learning metrics over the examined topics that were read; empty before there is one."""
        exams = [m for m in self._metrics if "exam_losses" in m]
        step = {topic: e.index for e in reversed(self._expansions) for topic in e.neighbourhood}  # the first counts
        read = [t for t in self.exam.topics.tolist() if t in step]
        if not read:
            return {}
        # The row of the first exam at or after the expansion that first read the topic.
        rows = np.searchsorted([m["index"] for m in exams], [step[t] for t in read])
        columns = np.flatnonzero(np.isin(self.exam.topics, read))
        kept = continual_metrics(np.array([m["exam_losses"] for m in exams])[:, columns], rows)
        titles = [self.curriculum.corpus.graph.titles[t] for t in read]
        forgetting = dict(zip(titles, kept.forgetting.tolist(), strict=True))
        return {"acc": kept.acc, "bwt": kept.bwt, "fwt": kept.fwt, "forgetting": forgetting}

    def _note(self, figures: dict[str, Any], exam: dict[str, Any] | None) -> None:
        """Write a line of metrics, with continual-learning metrics if the exam was taken."""
        line = {**figures, **(exam or {})}
        self._metrics.append(line)
        if exam is not None:
            line |= self._kept()
        self._records["metrics"].append(json.dumps(line, allow_nan=False))

    def _log_events(self, events: Any, expansion: Expansion, exam_loss: float | None) -> None:
        scalars = {"loss/train": expansion.train_loss, "loss/exam": exam_loss, "reward/total": expansion.reward}
        parts = expansion.reward_components.items()
        # A user's reward may be called `total`, which would overwrite the sum.
        scalars |= {f"reward/{'part_total' if name == 'total' else name}": value for name, value in parts}
        scalars |= {f"seconds/{phase}": value for phase, value in expansion.seconds.items()}
        scalars |= {f"kept/{name}": self._metrics[-1].get(name) for name in ("acc", "bwt", "fwt")}
        scalars |= {f"topics/{name}": number for name, number in self._standing().items()}
        for name in self.recall.keys() & self._metrics[-1].keys():
            recalled = self._metrics[-1][name]
            scalars |= {f"{name}/all": recalled["share"]}
            scalars |= {f"{name}/{group}": part["share"] for group, part in recalled["groups"].items()}
        for name, value in scalars.items():
            if value is not None:
                events.add_scalar(name, value, expansion.tokens_total)

    def _save_checkpoint(self, index: int, began: float) -> None:
        self._checkpoint = Checkpoint.save(
            self.folder,
            index,
            self.curriculum.learner.save,
            seconds=self._seconds_before + time.perf_counter() - began,
            rng=self.curriculum.state.rng.bit_generator.state,
            about=self._settled(),
            records=self._marks(),
        )

    def _marks(self) -> dict[str, dict[str, Any]]:
        """The marks of all records as they are now."""
        return {name: record.mark() for name, record in self._records.items()}

    def _settled(self) -> dict[str, Any]:
        """The description without its corpus if that grows: the pages of a live run are a record of their own."""
        grows = self._expansions[-1].arrived is not None
        return {name: value for name, value in self._about.items() if not (grows and name == "corpus")}

    def _describe(self) -> dict[str, Any]:
        """The plain values that a resumed run has to agree with."""
        curriculum = self.curriculum
        about = {
            "config": self._config,
            "kgrl": version("kgrl"),
            "settings": asdict(curriculum.config),
            "agent": _plain(self.agent),
            "reward": None if curriculum.reward is None else _plain(curriculum.reward),
            "corpus": curriculum.corpus.fingerprint,
            "encoder": curriculum.encoder,  # its name is in `config`, but a folder of that name may have changed
        }
        return dict(json.loads(json.dumps(about)))

    def _resume(self, checkpoint: Checkpoint) -> None:
        """Bring curriculum, agent and learner into the checkpoint's state; later lines are dropped."""
        self._about = self._describe()
        known = self._about.keys() & {*checkpoint.about, "config", "kgrl"}
        checkpoint.check_about(self.folder, {name: self._about[name] for name in self._about if name in known})
        for name, mark in checkpoint.records.items():
            self._records[name].check(mark)  # all of them before any is cut
        # A run that was killed may have recorded an expansion whose checkpoint is missing.
        for name, mark in checkpoint.records.items():
            self._records[name].cut_to(mark)
        self._expansions = list(self.read_expansions(self.folder))
        self._metrics = read_metrics(self.folder / "metrics.jsonl")
        self.curriculum.resume(self._expansions, self.agent)
        self.curriculum.learner.load(Checkpoint.file_in(self.folder).parent / checkpoint.learner)
        self.curriculum.state.rng.bit_generator.state = checkpoint.rng
        self._seconds_before = checkpoint.seconds

    def _finish(self, began: float) -> None:
        last = self._metrics[-1]
        if "exam_loss" not in last:
            self._note({"index": last["index"], "tokens": last["tokens"]}, self._examine())
            assert self._checkpoint is not None  # there is one after each expansion
            replace(self._checkpoint, records=self._marks()).write(self.folder)
        self._write_adapters()
        write_json(self.folder / "result.json", self._result(began).summary())

    def _write_adapters(self) -> None:
        """Write the adapters of a LoRA learner as folders: one for the curriculum, or one for each module.

        Nothing is written if a plug-in changed the base model, since no adapter fits that; the checkpoint has all.
        """
        learner = self.curriculum.learner
        kind = getattr(learner, "kind", None)
        if kind == "accelerate":
            from kgrl.learners.accelerated.learner import AccelerateLearner

            if isinstance(learner, AccelerateLearner) and learner.rank is not None:
                learner.write_adapter(self.folder / "adapters" / "curriculum", self._facts("curriculum"))
        if kind != "lora":
            return
        # Here, since PEFT takes seconds to import.
        from kgrl.learners.decoder.lora import LoraLearner, write_adapter

        if isinstance(learner, LoraLearner) and not any(plugin.rebased for plugin in learner.plugins):
            for name, weights in learner.modules.items():
                with learner.holding(weights):
                    write_adapter(learner, self.folder / "adapters" / name, self._facts(name))

    def _facts(self, adapter: str) -> AdapterFacts:
        """The facts for an adapter's card: corpus, titles, tokens, seed and losses."""
        from kgrl.learners.adapters.folder import AdapterFacts

        own = [e for e in self._expansions if e.adapter in (None, adapter)]
        graph = self.curriculum.corpus.graph
        topics = dict.fromkeys(topic for expansion in own for topic in expansion.neighbourhood)
        exam = next(m["exam_loss"] for m in reversed(self._metrics) if "exam_loss" in m)
        return AdapterFacts(
            corpus=self.curriculum.corpus.name,
            titles=tuple(graph.titles[topic] for topic in topics),
            tokens=sum(expansion.tokens for expansion in own),
            seed=self.curriculum.config.seed,
            losses={"exam": exam},
        )

    def _result(self, began: float) -> RunResult:
        measured = [m for m in self._metrics if "exam_loss" in m]
        return RunResult(
            expansions=ExpansionList(self._expansions),
            curve=tuple((int(m["tokens"]), float(m["exam_loss"])) for m in measured),
            seconds=self._seconds_before + time.perf_counter() - began,
            exam_seconds=sum(m["exam_seconds"] for m in measured),
            budget=self.curriculum.config.budget_tokens,
            recalled={name: tuple((int(m["tokens"]), m[name]) for m in measured) for name in self.recall},
            questions={name: recall.questions for name, recall in self.recall.items()},
            recall_seconds=sum(m.get("recall_seconds", 0.0) for m in measured),
            standing=self._standing(),
        )


def _plain(thing: object) -> str:
    """Return an object's repr if it says the same in every process, or else the name of its class."""
    shown = repr(thing)
    return type(thing).__name__ if " at 0x" in shown else shown
