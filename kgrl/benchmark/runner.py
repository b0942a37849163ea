"""The runner: carries out the cells of a benchmark, each once, and keeps their results.

    OUT/about.json                              what the results depend on; see `kgrl.benchmark.folder`
    OUT/TASK/CORPUS/LEARNER/AGENT/SEED.json     the result of a cell
    OUT/TASK/CORPUS/LEARNER/AGENT/SEED.parquet  its curriculum, one row per expansion

The JSON file is written last: a cell with that file is finished or failed, and a finished one is not carried out again.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Meta, Struct
from numpy.typing import NDArray

from kgrl.agents.base import agent_name
from kgrl.agents.make import make_agent
from kgrl.benchmark.places import make_place
from kgrl.benchmark.tasks import make_float32_learner
from kgrl.corpus import Corpus
from kgrl.errors import DataError, KgrlError
from kgrl.exam import Exam
from kgrl.expansion import Expansion
from kgrl.learners.base import Learner, Sized
from kgrl.probes.recall import Recall
from kgrl.retrieval.encoder import DEFAULT_ENCODER
from kgrl.runs.metrics import aulc, continual_metrics, smooth
from kgrl.system.executors import Executor
from kgrl.system.files import replacing, write_json
from kgrl.system.schemas import Count, checked, read_json

__all__ = ["EXAMS", "Cell", "Pace", "carry_out_cell", "cell_file", "failures", "read_rows", "run_cells"]

Row = dict[str, Any]

_log = logging.getLogger(__name__)
_NAMED = ("task", "corpus", "learner", "agent", "seed")
"""The entries of a row that name its cell, in the order of its path."""
EXAMS = 10
"""Exams in a budget, the one before any training not counted. Twenty took as long as a scratch learner's lessons."""
_FACT_EXAMS = 3
"""How many times as many exams there are where facts are asked for."""
_PHASES, _LEARNER = ("research", "learn", "probe"), ("learn", "probe", "exam")
"""The phases whose seconds expansions hold, and those in which the learner works; the rest of a cell is overhead."""
_ALIKE: tuple[tuple[int, ...], ...] = ((0, 1, 2, 3), (2, 3), (0, 1, 2), ())
"""Parts of (task, corpus, learner, agent) that cells of about the same duration have in common, the most alike first:
all, learner and agent, the place, nothing."""


@dataclass(frozen=True)
class Cell:
    """One curriculum of a benchmark.

    Args:
        task: The task by name, `"target:GOAL"` for another goal than the usual.
        corpus: The corpus by name.
        learner: The learner by name.
        agent: The agent by name, the folder of a trained policy, or a class as `FILE.py:CLASS`; rows know it by its
            short name (`kgrl.agents.base.agent_name`).
        seed: Seeds learner, probes and draws; cells of one seed are paired.
        budget: Most tokens to train on; the task's own if None. A folder holds results of one budget for each place;
            `kgrl.benchmark.folder.check_folder` refuses others.
        encoder: The sentence encoder by name; a folder holds results of one for each place, too.
        level: Share of one-hop facts (group "1") at which it ends, as the mean of two exams in a row; None goes on to
            the budget. One for each place, too.
    """

    task: str
    corpus: str
    learner: str
    agent: str
    seed: int
    budget: int | None = None
    encoder: str = DEFAULT_ENCODER
    level: float | None = None

    @property
    def name(self) -> str:
        """Its name in messages, which is also its path in the folder."""
        return _name(self.key)

    @property
    def key(self) -> Row:
        """The entries that identify its row."""
        names = {"task": self.task, "corpus": self.corpus, "learner": self.learner}
        return {**names, "agent": agent_name(self.agent), "seed": self.seed}


def cell_file(out: Path, key: Mapping[str, Any]) -> Path:
    """Return the file of a cell.

    Args:
        out: Folder that keeps results.
        key: Its task, corpus, learner, agent and seed, by these names; a row will do.
    """
    return out / f"{_name(key)}.json"


def _name(key: Mapping[str, Any]) -> str:
    return "/".join(quote(str(key[part]), safe="") for part in _NAMED)


def run_cells(cells: Sequence[Cell], out: Path, executor: Executor) -> Iterator[Row]:
    """Carry out the cells that have no result, and again those that failed before.

    Args:
        cells: The cells, started in this order.
        out: Folder that keeps results; see `kgrl.benchmark.folder.check_folder`.
        executor: Carries cells out, several at a time where it can.

    Yields:
        The row of each cell: first of the finished ones, then of the others in the order in which they end.
    """
    waiting = []
    for cell in cells:
        row = _read(cell_file(out, cell.key))
        if row is not None and row["status"] == "finished":  # failed ones are tried again: a crash may have been chance
            yield row
        else:
            waiting.append(cell)
    yield from executor.map(carry_out_cell, out.resolve(), waiting, lost=_lose)  # a worker may have another folder


def carry_out_cell(out: Path, cell: Cell) -> Row:
    """Carry out a cell, write its row and return it; a cell that raises gets a row that says it failed.

    Args:
        out: Folder that keeps results.
        cell: The cell.
    """
    path, began = cell_file(out, cell.key), time.perf_counter()
    for left_over in path.parent.glob(f".{path.stem}.*.tmp"):  # of a process that was killed while writing
        left_over.unlink(missing_ok=True)
    try:
        row = _carry_out(path.with_suffix(".parquet"), cell)
    except Exception as error:  # noqa: BLE001 - another package's agent may raise anything; the other cells go on
        row = _failed(error) | {"seconds": {"all": time.perf_counter() - began}}
    return _write(path, cell, row)


def _lose(out: Path, cell: Cell, error: KgrlError) -> Row:
    """Write the row of a cell whose worker died: failed."""
    return _write(cell_file(out, cell.key), cell, _failed(error))


def _failed(error: Exception) -> Row:
    return {"status": "failed", "error": f"{type(error).__name__.removeprefix('_')}: {error}"}


def _write(path: Path, cell: Cell, row: Row) -> Row:
    row = {**cell.key, **row}
    write_json(path, row)
    return row


def _carry_out(curriculum_file: Path, cell: Cell) -> Row:
    place = make_place(cell.task, cell.corpus, cell.budget, cell.encoder)
    # Before the clock starts: imports, compiled kernels and tokens kept on disk belong to no single cell's time.
    _load_learner(cell.learner, place.task.corpus)
    _load_agent(cell.agent)
    began = time.perf_counter()
    # Fresh ones for every cell: bandits keep what they have learned of earlier curricula otherwise.
    agent, corpus = make_agent(cell.agent), place.task.corpus
    budget = place.task.config.budget_tokens
    learner = make_float32_learner(cell.learner, corpus, seed=cell.seed, encoder=cell.encoder, budget_tokens=budget)
    curriculum = place.make_curriculum(learner, cell.seed)
    made, watched = time.perf_counter() - began, _Examined(place.exam, learner, place.recall)
    # Facts are learned suddenly, so they are asked for more often.
    exams = EXAMS * (_FACT_EXAMS if place.recall else 1)
    steps = watched.follow(curriculum.run(agent), budget / exams, cell.level)
    seconds = {phase: sum(step.seconds.get(phase, 0.0) for step in steps) for phase in _PHASES}
    seconds |= {"exam": watched.seconds, "make": made}
    # The loop does nothing else between phases than to let the agent choose.
    seconds["choose"] = time.perf_counter() - began - sum(seconds.values())
    _write_expansions(curriculum_file, steps)
    row = {
        "status": "finished",
        "curve": watched.curve,
        "aulc": aulc(watched.curve, budget),
        "budget": budget,
        "tokens": steps[-1].tokens_total,
        "probe_tokens": sum(step.probe_tokens for step in steps),
        "flops": _operations(learner, steps),
        "expansions": len(steps),
        "noise_share": place.task.noise_share(steps) if place.task.planted.any() else None,
        **watched.kept(),
        "recalled": watched.recalled,
        "asked": watched.asked,
    }
    seconds["all"] = time.perf_counter() - began
    return {**row, "seconds": seconds, "overhead": 1 - sum(seconds[name] for name in _LEARNER) / seconds["all"]}


@cache
def _load_learner(learner: str, corpus: Corpus) -> None:
    """Make a learner and an Arrow table once in a process, so that everything they need is loaded."""
    make_float32_learner(learner, corpus, budget_tokens=1)
    pa.table({"index": [0]})


@cache
def _load_agent(agent: str) -> None:
    """Make an agent once in a process, so that everything it needs is loaded."""
    make_agent(agent)


class _Examined:
    """A learner's exam, taken along a curriculum.

    Args:
        exam: The exam.
        learner: The learner.
        recall: Questions that are asked with every exam; None without any.

    Attributes:
        curve: Tokens and exam loss at each exam.
        recalled: Share of the questions answered rightly at each exam, by group; empty without questions.
        asked: Number of questions of each group.
        seconds: Wall-clock of all exams.
    """

    def __init__(self, exam: Exam, learner: Learner, recall: Recall | None = None) -> None:
        self.exam, self.learner, self.recall = exam, learner, recall
        self.recalled: dict[str, list[float]] = {}
        self.asked = dict(Counter(question.group for question in recall.questions)) if recall else {}
        self.curve: list[tuple[int, float]] = []
        self.seconds = 0.0
        self.learned: dict[int, list[int]] = {}
        """The topics learned since the previous exam, by the number of the exam."""
        self._losses: list[NDArray[np.float64]] = []

    def follow(self, curriculum: Iterable[Expansion], spacing: float, level: float | None = None) -> list[Expansion]:
        """Return a curriculum's expansions up to a level, with exams before, every `spacing` tokens, and at the end."""
        steps = list[Expansion]()
        self.take(0)
        for step in curriculum:
            steps.append(step)
            self.learned.setdefault(len(self.curve), []).extend(step.neighbourhood)
            if step.tokens_total - self.curve[-1][0] >= spacing:
                self.take(step.tokens_total)
                if level is not None and smooth(self.recalled["1"])[-1] >= level:
                    break
        if self.curve[-1][0] != steps[-1].tokens_total:
            self.take(steps[-1].tokens_total)
        return steps

    def take(self, tokens: int) -> None:
        """Take the exam of a learner that was trained on so many tokens."""
        start = time.perf_counter()  # exams are timed apart, since no agent is responsible for them
        self._losses.append(self.exam.losses(self.learner))
        self.curve.append((tokens, float(self._losses[-1].mean())))
        if self.recall is not None:
            for group, accuracy in self.recall.measure(self.learner).groups.items():
                self.recalled.setdefault(group, []).append(accuracy.share)
        self.seconds += time.perf_counter() - start

    def kept(self) -> dict[str, float | None]:
        """Return how much was kept of the learned topics that the exam has; None where it has no learned one."""
        # Reversed, so that of a topic's several lessons the first one stays.
        first = {topic: row for row, topics in reversed(self.learned.items()) for topic in topics}
        rows = np.array([first.get(int(topic), 0) for topic in self.exam.topics])  # 0 stands for never learned
        if not rows.any():
            return dict.fromkeys(("acc", "bwt", "fwt", "forgetting"))
        told = continual_metrics(self._losses, rows)
        return {"acc": told.acc, "bwt": told.bwt, "fwt": told.fwt, "forgetting": float(told.forgetting.mean())}


def _operations(learner: Learner, steps: Sequence[Expansion]) -> float | None:
    """Return the floating-point operations: 6 N per token trained on, 2 N per token measured (Kaplan et al. 2020).

    N is the number of parameters. Exams are not counted; tokens that an agent's tries train on count as measured.
    """
    if not isinstance(learner, Sized):  # learners of other packages need not know their size
        return None
    trained, measured = steps[-1].tokens_total, sum(step.probe_tokens for step in steps)
    return float(learner.n_parameters) * (6 * trained + 2 * measured)


def _write_expansions(path: Path, steps: Sequence[Expansion]) -> None:
    """Write a curriculum as Parquet: the plain values of records, and a column for each measurement."""
    rows = []
    # Flat columns with prefixes, which every reader of Parquet can filter and plot.
    for step in steps:
        probes = {f"gain_{name}": probe.gain for name, probe in step.probes.items()}
        seconds = {f"seconds_{name}": value for name, value in step.seconds.items()}
        parts = {f"reward_{name}": value for name, value in step.reward_components.items()}
        plain = {
            "index": step.index,
            "topic": step.topic,
            "title": step.title,
            "neighbourhood": list(step.neighbourhood),
            "passages": list(step.passages),
            "tokens": step.tokens,
            "tokens_total": step.tokens_total,
            "probe_tokens": step.probe_tokens,
            "train_loss": step.train_loss,
            "reward": step.reward,
        }
        rows.append({**plain, **parts, **probes, **seconds})
    columns = dict.fromkeys(name for row in rows for name in row)  # in order of appearance; rows may lack some
    table = pa.table({name: [row.get(name) for row in rows] for name in columns})
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


class _Told(Struct):
    """The entries of every row; it may have more."""

    task: str
    corpus: str
    learner: str
    agent: str
    seed: Count
    status: Literal["finished", "failed"]
    error: str = ""


class _Finished(_Told, kw_only=True):
    """The entries of a finished cell's row; losses in nats per token."""

    curve: Annotated[list[tuple[Count, float]], Meta(min_length=1)]
    aulc: float
    budget: Count
    tokens: Count
    probe_tokens: Count
    expansions: Count
    seconds: dict[str, float]
    noise_share: float | None
    flops: float | None = None
    overhead: float | None = None
    acc: float | None = None
    bwt: float | None = None
    fwt: float | None = None
    forgetting: float | None = None
    recalled: dict[str, list[float]] = {}
    asked: dict[str, Count] = {}


def _read(path: Path) -> Row | None:
    """Return the row in a file; None where there is none, or one that was damaged and is now set aside."""
    if not path.exists():
        return None
    try:
        row = read_json(path, dict[str, Any])
        _check_row(row, path)
    except DataError as error:
        _log.warning("%s", _set_aside(path, error.reason))
        return None
    return row


def _check_row(row: Row, path: Path) -> None:
    """Raise a `DataError` for a row that is not one of this file's cell."""
    told = checked(row, _Told, path)
    if _name(row).split("/")[-2:] != [path.parent.name, path.stem]:
        raise DataError(path, None, "this is not the result of this cell")
    if told.status == "finished":
        checked(row, _Finished, path)


def _set_aside(path: Path, why: str) -> str:
    """Rename a damaged file, so that it is neither read again nor lost, and return a sentence about it.

    Args:
        path: The file.
        why: The reason why it cannot be used.
    """
    kept = path.with_name(f"{path.name}.broken")
    path.replace(kept)
    return f"{path} is damaged ({why}); it is now {kept.name}, and its part of the benchmark is carried out again"


def read_rows(out: Path) -> list[Row]:
    """Return the rows of all cells in a folder, in the order of their names; damaged ones are set aside and left out.

    Raises:
        KgrlError: If the folder holds no results.
    """
    rows = [row for path in sorted(out.glob("*/*/*/*/*.json")) if (row := _read(path)) is not None]
    if not rows:
        raise KgrlError(f"{out} holds no results of a benchmark; kgrl bench --suite agents --out {out} makes some")
    return rows


def failures(rows: Sequence[Row]) -> list[str]:
    """Return a line for each failed cell: its name and the error."""
    return ["/".join(str(row[n]) for n in _NAMED) + f": {row['error']}" for row in rows if row["status"] == "failed"]


class Pace:
    """Estimate of the time remaining of a benchmark, from the seconds of finished cells.

    A cell that waits is expected to take as long as the mean of the finished cells that are most like it: an oracle's
    cell takes twenty times another agent's.

    Args:
        cells: All cells.
        workers: Cells carried out at a time.

    Example:
        >>> pace = Pace([Cell("coverage", "vital", "scratch", "random", seed) for seed in range(3)], workers=2)
        >>> row = {"task": "coverage", "corpus": "vital", "learner": "scratch", "agent": "random"}
        >>> pace.left(), pace.book({**row, "seconds": {"all": 4.0}}), pace.left()
        (None, None, 4.0)
    """

    def __init__(self, cells: Iterable[Cell], workers: int) -> None:
        self._waiting = Counter((c.task, c.corpus, c.learner, agent_name(c.agent)) for c in cells)
        self._workers = workers
        self._sums: dict[tuple[str | None, ...], tuple[float, int]] = {}

    def book(self, row: Mapping[str, Any]) -> None:
        """Count the row of a cell that has ended."""
        kind = row["task"], row["corpus"], row["learner"], row["agent"]
        self._waiting[kind] -= 1
        if "seconds" not in row:  # its worker died
            return
        for alike in _ALIKE:
            seconds, cells = self._sums.get(_masked(kind, alike), (0.0, 0))
            self._sums[_masked(kind, alike)] = seconds + row["seconds"]["all"], cells + 1

    def left(self) -> float | None:
        """Return the seconds that remain, None before any cell has ended."""
        if not self._sums:
            return None
        left = 0.0
        for kind, cells in self._waiting.items():
            # The last entry of `_ALIKE` is common to all cells, so there always is a mean.
            seconds, ended = next(self._sums[key] for alike in _ALIKE if (key := _masked(kind, alike)) in self._sums)
            left += cells * (seconds / ended)
        return left / self._workers


def _masked(kind: tuple[str, ...], alike: tuple[int, ...]) -> tuple[str | None, ...]:
    """Return the parts of a kind of cell that count, and None for the others."""
    return tuple(part if place in alike else None for place, part in enumerate(kind))
