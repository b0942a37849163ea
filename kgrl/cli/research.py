"""`kgrl research worker` and `kgrl research status`: do the jobs of a research queue, and see what is in it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional

from kgrl.cli.output import show_facts, show_table
from kgrl.errors import KgrlError, SettingError

if TYPE_CHECKING:
    from kgrl.research.queue import ResearchQueue, Status

__all__ = ["StatusCommand", "WorkerCommand"]

_MOST_SHOWN = 20


@dataclass(frozen=True)
class WorkerCommand:
    """Do the jobs of a research queue until interrupted: fetch, clean, split, deduplicate, embed, index.

    A worker that is killed loses nothing: others do its job again.

    Args:
        where: The queue: the folder of a live run or of its queue, or redis://:PASSWORD@HOST:PORT/DB.
        threads: How many jobs are done at a time.
        json: File to write what was done to, as one JSON object, once a worker cannot go on.
    """

    where: Annotated[str, Positional]
    threads: int = 2
    json: Path | None = None

    def run(self) -> dict[str, Any]:
        """Work until interrupted.

        Raises:
            KgrlError: If the queue is not there, is for another encoder, or cannot be worked on any more.
        """
        from kgrl.research.worker import make_page_source, run_workers
        from kgrl.retrieval.encoder import Encoder

        if self.threads < 1:
            raise SettingError(f"--threads {self.threads}: a worker needs at least one thread")
        queue = _existing(self.where)
        described = queue.settings.get("source")
        if described is None:
            raise KgrlError(
                f"the queue {queue.store.place} does not say where pages come from: start a run on it first"
            )
        source = make_page_source(described)  # one for all threads, so that its rate holds for all of them
        with run_workers(queue, lambda: source, Encoder(), self.threads) as broken:
            facts = [("queue", queue.store.place), ("pages from", described), ("threads", self.threads)]
            show_facts("working; Ctrl-C ends it", facts)
            broken.wait()
        return {"where": queue.store.place, "threads": self.threads}


@dataclass(frozen=True)
class StatusCommand:
    """Show what is queued, running, done and failed in a research queue.

    Args:
        where: The queue: the folder of a live run or of its queue, or redis://:PASSWORD@HOST:PORT/DB.
        json: File to write the same to, as one JSON object, with every failure.
    """

    where: Annotated[str, Positional]
    json: Path | None = None

    def run(self) -> dict[str, Any]:
        """Print and return what is there.

        Raises:
            KgrlError: If the queue is not there or cannot be reached.
        """
        queue = _existing(self.where)
        status = queue.status()
        _show(status, queue)
        return {"where": queue.store.place, "settings": queue.settings, **_plain(status)}


def _existing(where: str) -> ResearchQueue:
    """Open a queue that is there; commands that look at one do not make one."""
    from kgrl.research.queue import ResearchQueue
    from kgrl.research.store import QUEUE_FILE

    if "://" in where:
        return ResearchQueue.open(where)
    for folder in (Path(where), Path(where) / "queue"):
        if (folder / QUEUE_FILE).is_file():
            return ResearchQueue.open(folder)
    raise KgrlError(f"there is no queue in {where}; give the folder of a live run, or redis://HOST:PORT/DB")


def _plain(status: Status) -> dict[str, Any]:
    return {**asdict(status), "queued": dict(status.queued), "failed": len(status.failures)}


def _show(status: Status, queue: ResearchQueue) -> None:
    from kgrl.research.board import STAGES

    running = Counter(job.stage for job in status.running)
    counts = [
        ("queued", sum(status.queued.values())),
        ("running", len(status.running)),
        ("done", status.arrived),
        ("failed", len(status.failures)),
        ("other names of topics that are done", status.aliases),
        ("dropped, wanted no longer", status.stale),
    ]
    show_facts(f"queue {queue.store.place}", counts)
    show_table("", ["stage", "queued", "running"], [[s, status.queued.get(s, 0), running[s]] for s in STAGES])
    _show_some("running", ["title", "stage", "worker"], [[j.title, j.stage, j.worker] for j in status.running])
    _show_some("to be tried again", ["title", "reason"], [list(pair) for pair in status.troubled.items()])
    failures = [[f.title, f.stage, f.attempts, f.reason] for f in status.failures]
    _show_some("failed", ["title", "stage", "attempts", "reason"], failures)


def _show_some(title: str, columns: list[str], rows: list[list[Any]]) -> None:
    """Print a table, if it has rows, and its first rows if it has many."""
    if rows:
        more = f", the first {_MOST_SHOWN} of {len(rows):,}" if len(rows) > _MOST_SHOWN else ""
        show_table(title + more, columns, rows[:_MOST_SHOWN])
