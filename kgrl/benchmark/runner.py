"""The runner: carries out the cells of a benchmark, each once, and keeps what came of them.

    OUT/about.json                              version, and the fingerprints of the corpora
    OUT/TASK/CORPUS/LEARNER/AGENT/SEED.json     what came of a cell
    OUT/TASK/CORPUS/LEARNER/AGENT/SEED.parquet  its curriculum, one row an expansion

The JSON file is written last, so that a cell is either there or not; those that are there are not carried out again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kgrl.agents import make_agent
from kgrl.benchmark.tasks import Task, make_task
from kgrl.benchmark.traps import Embedded
from kgrl.cache import replacing, write_json
from kgrl.curriculum import Curriculum
from kgrl.encoder import Encoder
from kgrl.errors import DataError, KgrlError
from kgrl.exam import Exam
from kgrl.expansion import Expansion
from kgrl.learners.base import Learner, Sized, make_learner
from kgrl.learners.executors import Executor
from kgrl.metrics import aulc, continual_metrics
from kgrl.research import Researcher
from kgrl.retrieval import embed_corpus

__all__ = ["Cell", "check_folder", "failures", "play", "read_rows", "run_cells"]

_EXAM_EVERY = 0.05
"""The exam is taken whenever so much of the budget was spent."""
_PHASES = ("research", "learn", "probe")


@dataclass(frozen=True)
class Cell:
    """One curriculum of a benchmark.

    Args:
        task: The task by name.
        corpus: The corpus by name.
        learner: The learner by name.
        agent: The agent by name, or the folder of a trained policy, which goes by the folder's name.
        seed: Seeds learner, probes and draws; cells of one seed are paired.
    """

    task: str
    corpus: str
    learner: str
    agent: str
    seed: int

    @property
    def name(self) -> str:
        """What messages call it, and where in the folder it is."""
        parts = (self.task, self.corpus, self.learner, Path(self.agent).name, str(self.seed))
        return "/".join(quote(part, safe="") for part in parts)


def check_folder(out: Path, places: Sequence[tuple[str, str]]) -> None:
    """Make a folder for the results of this version on these corpora, or see that it is one.

    Args:
        out: The folder.
        places: Tasks and the corpora that they are on, by name.

    Raises:
        DataError: If it holds results of another version of kgrl, or of a corpus that has changed since.
    """
    path, now = out / "about.json", version("kgrl")
    about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"version": now}
    known = about.setdefault("corpora", {})
    if about["version"] != now:
        raise DataError(path, None, f"the folder has results of kgrl {about['version']}, not {now}; choose another")
    for task, corpus in dict.fromkeys(places):
        fingerprint = _made(task, corpus)[0].corpus.fingerprint
        if known.setdefault(f"{task}/{corpus}", fingerprint) != fingerprint:
            raise DataError(path, None, f"the folder has results of {task!r} on another {corpus!r}; choose another")
    write_json(path, about)


def run_cells(cells: Sequence[Cell], out: Path, executor: Executor) -> Iterator[Cell]:
    """Carry out the cells that are not there, and those that failed before, again.

    Args:
        cells: The cells, begun in this order.
        out: Folder that keeps results; see `check_folder`.
        executor: Carries cells out, several at a time where it can.

    Yields:
        Each cell as it is finished.
    """
    waiting = [cell for cell in cells if not _is_finished(out, cell)]
    yield from (cell for cell in cells if cell not in set(waiting))
    yield from executor.map(play, out, waiting)


def play(out: Path, cell: Cell) -> Cell:
    """Carry out a cell and write what came of it; one that raises is written down as failed.

    Args:
        out: Folder that keeps results.
        cell: The cell.
    """
    try:
        row = _carry_out(out, cell)
    except Exception as error:  # noqa: BLE001 - an agent of somebody else may raise anything; the other cells go on
        row = {"status": "failed", "error": f"{type(error).__name__}: {error}"}
    write_json(out / f"{cell.name}.json", {**asdict(cell), "agent": Path(cell.agent).name, **row})
    return cell


def _carry_out(out: Path, cell: Cell) -> dict[str, Any]:
    task, embedded, research = _made(cell.task, cell.corpus)
    agent = make_agent(cell.agent)
    learner = make_learner(cell.learner, task.corpus, seed=cell.seed)
    config = replace(task.config, seed=cell.seed)
    curriculum = Curriculum(task.corpus, learner, *embedded, task.reward, config)
    curriculum.research.tables = research.tables  # looked up once for all cells; that takes longer than one's learning
    watched = _Examined(task.make_exam(), learner)
    began, steps = time.perf_counter(), list[Expansion]()
    watched.take(0)
    for step in curriculum.run(agent):
        steps.append(step)
        watched.learned.setdefault(len(watched.curve), []).extend(step.neighbourhood)
        if step.tokens_total - watched.curve[-1][0] >= config.budget_tokens * _EXAM_EVERY:
            watched.take(step.tokens_total)
    if watched.curve[-1][0] != steps[-1].tokens_total:
        watched.take(steps[-1].tokens_total)
    seconds = {phase: sum(step.seconds.get(phase, 0.0) for step in steps) for phase in _PHASES}
    _write_expansions(out / f"{cell.name}.parquet", steps)
    return {
        "status": "finished",
        "curve": watched.curve,
        "aulc": aulc(watched.curve, config.budget_tokens),
        "budget": config.budget_tokens,
        "tokens": steps[-1].tokens_total,
        "probe_tokens": sum(step.probe_tokens for step in steps),
        "flops": _operations(learner, steps),
        "expansions": len(steps),
        "noise_share": task.noise_share(steps) if task.planted.any() else None,
        **watched.kept(),
        "seconds": {**seconds, "exam": watched.seconds, "all": time.perf_counter() - began},
    }


class _Examined:
    """A learner's exam, taken again and again."""

    def __init__(self, exam: Exam, learner: Learner) -> None:
        self.exam, self.learner = exam, learner
        self.curve: list[tuple[int, float]] = []
        self.seconds = 0.0
        self.learned: dict[int, list[int]] = {}
        """The topics learned before each exam, by its number."""
        self._losses: list[NDArray[np.float64]] = []

    def take(self, tokens: int) -> None:
        """Examine the learner, which was trained on so many tokens."""
        start = time.perf_counter()
        self._losses.append(self.exam.losses(self.learner))
        self.curve.append((tokens, float(self._losses[-1].mean())))
        self.seconds += time.perf_counter() - start

    def kept(self) -> dict[str, float | None]:
        """What was kept of the exam's topics that were learned; None for each where none of them was."""
        first = {topic: row for row, topics in reversed(self.learned.items()) for topic in topics}
        rows = np.array([first.get(int(topic), 0) for topic in self.exam.topics])
        if not rows.any():
            return dict.fromkeys(("acc", "bwt", "fwt", "forgetting"))
        told = continual_metrics(self._losses, rows)
        return {"acc": told.acc, "bwt": told.bwt, "fwt": told.fwt, "forgetting": float(told.forgetting.mean())}


def _operations(learner: Learner, steps: Sequence[Expansion]) -> float | None:
    """Floating-point operations: 6 N a token trained on, 2 N a token measured (Kaplan et al. 2020)."""
    if not isinstance(learner, Sized):
        return None
    trained, measured = steps[-1].tokens_total, sum(step.probe_tokens for step in steps)
    return float(learner.n_parameters) * (6 * trained + 2 * measured)


@cache
def _made(task: str, corpus: str) -> tuple[Task, Embedded, Researcher]:
    """A task with its retriever, topic embeddings and research, kept for the cells to come."""
    made = make_task(task, corpus)
    embedded = embed_corpus(made.corpus, Encoder())
    return made, embedded, Researcher(made.corpus, *embedded, made.config.neighbourhood)


def _write_expansions(path: Path, steps: Sequence[Expansion]) -> None:
    """Write a curriculum as Parquet: the records' plain values, and what was measured as columns of their own."""
    rows = []
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
    columns = dict.fromkeys(name for row in rows for name in row)
    table = pa.table({name: [row.get(name) for row in rows] for name in columns})
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _is_finished(out: Path, cell: Cell) -> bool:
    path = out / f"{cell.name}.json"
    return path.exists() and json.loads(path.read_text(encoding="utf-8"))["status"] == "finished"


def read_rows(out: Path) -> list[dict[str, Any]]:
    """Return what came of all cells in a folder, in order of their names.

    Raises:
        KgrlError: If the folder holds no results.
    """
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(out.glob("*/*/*/*/*.json"))]
    if not rows:
        raise KgrlError(f"{out} holds no results of a benchmark; kgrl bench --suite agents --out {out} makes some")
    return rows


def failures(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return a line for each cell that failed: which, and why."""
    named = ("task", "corpus", "learner", "agent", "seed")
    return ["/".join(str(row[n]) for n in named) + f": {row['error']}" for row in rows if row["status"] == "failed"]
