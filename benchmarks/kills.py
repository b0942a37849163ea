"""Kill workers by SIGKILL in the middle of each job type: is a job lost, a topic indexed twice, a file half-written?

    python benchmarks/kills.py --json docs/results/kills.json

Two worker processes serve a queue that is kept full, as a run keeps it. They report on a pipe when a job begins and
ends. A random moment after the beginning of a job of the type in turn, within twice the usual time of such jobs, its
worker is killed and replaced. Only kills before the job's end count. After the last kill the queue is left to be
finished. Then every title must have arrived once, or failed for a reason in its page; nothing may remain in the queue;
and the log must be, bit for bit, the log of one undisturbed worker on the same titles in the same order. It takes
about two minutes and needs a Redis server.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import multiprocessing
import os
import select
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from huey.signals import SIGNAL_COMPLETE, SIGNAL_EXECUTING

from kgrl.research.board import STAGES
from kgrl.research.jobs import HopelessError, Jobs
from kgrl.research.log import Arrival, ArrivalLog
from kgrl.research.page import Page, PageSource
from kgrl.research.queue import ResearchQueue
from kgrl.research.store import open_store
from kgrl.research.worker import Worker
from kgrl.retrieval.encoder import Encoder
from kgrl.system.files import write_json

KILLS, WORKERS, AHEAD = 50, 2, 24
FORK = multiprocessing.get_context("fork")
LIMITS: dict[str, Any] = {"lease": 1.0, "patience": 0.5}
FIRST_SPAN = 0.005  # seconds that the first job of a type is expected to take; later ones are measured
SLOW = (0.05, 0.3)  # least and most seconds of fetching a page
PATIENCE = 120.0  # seconds without an arrival after which the remaining titles count as lost


@dataclass(frozen=True)
class Slow:
    """A page source that takes some time for each page.

    Args:
        pages: The pages by title.
        seconds: Least and most seconds of fetching a page.
    """

    pages: dict[str, Page]
    seconds: tuple[float, float] = SLOW

    def page(self, title: str) -> Page | None:
        """Return a page after a while."""
        time.sleep(float(np.random.default_rng().uniform(*self.seconds)))
        return self.pages.get(title)


@dataclass
class Victim:
    """A worker process, and the job that it reports to be at."""

    where: str
    source: PageSource
    encoder: Encoder
    stage: str = ""
    began: float = 0.0
    buffer: bytes = b""
    took: dict[str, list[float]] = field(default_factory=dict)

    def start(self) -> None:
        """Start a worker process."""
        self.stage, self.buffer = "", b""
        self.reader, writer = os.pipe()
        process = FORK.Process(target=self._work, args=(writer,), daemon=True)
        process.start()
        os.close(writer)
        assert process.pid is not None
        self.pid, self.process = process.pid, process

    def _work(self, writer: int) -> None:
        worker = Worker(ResearchQueue.open(self.where, **LIMITS), self.source, self.encoder)

        def say(signal: str, task: Any) -> None:
            os.write(writer, f"{task.name if signal == SIGNAL_EXECUTING else ''}\n".encode())

        worker.messages.huey.signal(SIGNAL_EXECUTING, SIGNAL_COMPLETE)(say)
        worker.run(threading.Event())

    def listen(self, seconds: float) -> None:
        """Read the worker's reports; wait for some seconds at most if there are none."""
        if select.select([self.reader], [], [], seconds)[0]:
            self.buffer += os.read(self.reader, 65536)
        *lines, self.buffer = self.buffer.split(b"\n")
        for line in lines:
            if not line and self.stage:  # an empty line says that the job has ended
                self.took.setdefault(self.stage, []).append(time.perf_counter() - self.began)
            self.stage, self.began = line.decode(), time.perf_counter()

    def kill(self) -> str:
        """Kill the worker and return the type of its job, empty if it was between two."""
        os.kill(self.pid, signal.SIGKILL)
        self.process.join()
        self.listen(0)
        os.close(self.reader)
        return self.stage


def kill_workers(where: str, source: PageSource, encoder: Encoder, titles: Sequence[str], kills: int) -> dict[str, Any]:
    """Serve a queue with workers that are killed, and return the figures.

    Args:
        where: The place of the queue.
        source: The source of pages.
        encoder: Embeds them.
        titles: The titles that may be wanted, best first; enough of them to outlast the kills.
        kills: Number of kills, spread evenly over the types of jobs.
    """
    # Workers are forked, as loading the encoder anew after every kill would take most of the time.
    encoder.encode(["loaded before workers are forked"])
    rng, wanted, enough = np.random.default_rng(0), FORK.Value("i", 0), FORK.Event()
    # This process does not open the queue before the last fork: a SQLite connection must not be carried over one.
    run = FORK.Process(target=_want, args=(where, encoder.fingerprint, titles, wanted, enough), daemon=True)
    run.start()
    took: dict[str, list[float]] = {}
    victims = [Victim(where, source, encoder, took=took) for _ in range(WORKERS)]
    for victim in victims:
        victim.start()
    began, hit, between = time.perf_counter(), Counter[str](), 0
    targets = list(itertools.islice(itertools.cycle(STAGES), kills))
    while targets:
        victim = _next_to_do(victims, targets[0])
        # Up to twice the usual time: about half of the kills come too late and do not count.
        span = 2 * float(np.median(took.get(targets[0], [FIRST_SPAN])))
        time.sleep(float(rng.uniform(0, span)))
        stage = victim.kill()
        victim.start()
        hit[stage] += bool(stage)
        between += not stage
        if stage in targets:
            targets.remove(stage)
    enough.set()
    run.join()
    queue = ResearchQueue.open(where, **LIMITS)
    finished = _finish(queue)
    for victim in victims:
        victim.kill()
    seconds = time.perf_counter() - began
    return {
        "kills": sum(hit.values()),
        "by_stage": {stage: hit[stage] for stage in STAGES},
        "kills_between_jobs": between,
        **_account(queue, titles[: wanted.value]),
        "finished": finished,
        "damaged": _damaged(where),
        "same_as_undisturbed": _undisturbed(queue.arrivals(), source, encoder),
        "seconds": round(seconds, 1),
    }


def _want(where: str, encoder: str, titles: Sequence[str], wanted: Any, enough: Any) -> None:
    """Keep a queue full, as a run does."""
    queue = ResearchQueue.open(where, **LIMITS)
    queue.configure({"source": {"source": "benchmark"}, "encoder": encoder})
    while not enough.wait(0.05):
        wanted.value = min(len(titles), len(queue.store.log) + len(queue.failed()) + AHEAD)
        queue.want(titles[: wanted.value])


def _next_to_do(victims: Sequence[Victim], stage: str) -> Victim:
    """Wait until a worker begins a job of a type."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for victim in victims:
            before = victim.began
            victim.listen(0.001)
            if victim.stage == stage and victim.began != before:
                return victim
    raise RuntimeError(f"no worker has begun a job of type {stage} for {PATIENCE} s")


def _finish(queue: ResearchQueue) -> bool:
    """Wait until no job is under way; return whether that happened in time."""
    deadline = time.monotonic() + PATIENCE
    while queue.busy() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(2 * LIMITS["lease"])  # the claims of dead workers run out and are cleared away
    return not queue.busy()


def _account(queue: ResearchQueue, asked: Sequence[str]) -> dict[str, Any]:
    """Count the titles that were asked for by what became of them."""
    arrivals, status = queue.arrivals(), queue.status()
    times = Counter(arrival.title for arrival in arrivals)
    gave_up = {f.title: f.reason for f in status.failures if f.reason.startswith("gave up")}
    there = {name for arrival in arrivals for name in (arrival.title, *arrival.aliases)} | {*queue.failed()}
    return {
        "asked": len(asked),
        "arrived": len(arrivals),
        "failed": {f.title: f.reason for f in status.failures},
        # A title that was given up counts as lost: nothing in its page was a reason to.
        "lost": sum(title not in there or title in gave_up for title in asked),
        "duplicated": sum(count - 1 for count in times.values()) + len(queue.store.log) - len(arrivals),
        "left_over": len(queue.store.parts) + len(queue.store.jobs) + len(queue.store.claims),
    }


def _damaged(where: str) -> int:
    """Count the damaged pages of a SQLite file."""
    if "://" in where:
        return 0
    with contextlib.closing(sqlite3.connect(next(Path(where).glob("*.db")))) as connection:
        return sum(row != ("ok",) for row in connection.execute("pragma integrity_check"))


def _undisturbed(arrivals: Sequence[Arrival], source: PageSource, encoder: Encoder) -> bool:
    """Return whether one undisturbed worker makes the same of the same titles in the same order."""
    quick = Slow(source.pages, (0.0, 0.0)) if isinstance(source, Slow) else source
    with tempfile.TemporaryDirectory() as folder:
        log = ArrivalLog(open_store(folder).log)
        jobs = Jobs(quick, encoder, log, threading.Lock())
        for arrival in arrivals:
            text, wanted = "", next(iter(arrival.aliases), arrival.title)
            with contextlib.suppress(HopelessError):
                for stage in STAGES:
                    text = jobs.run(stage, wanted, text)
        return [a.to_json() for a in log.read()] == [a.to_json() for a in arrivals]


def wikispeedia_pages() -> dict[str, Page]:
    """Return the articles of Wikispeedia with their text and links, by title."""
    from kgrl.data import load_corpus

    corpus = load_corpus("wikispeedia")
    titles = corpus.graph.titles
    ends = np.searchsorted(corpus.topics, np.arange(len(titles) + 1))
    pages = {}
    for topic in np.random.default_rng(0).permutation(len(titles)).tolist():
        text = "\n\n".join(corpus.texts[ends[topic] : ends[topic + 1]])
        links = tuple(titles[target] for target in corpus.graph.out(topic))
        pages[titles[topic]] = Page(titles[topic], text, links, (), 1.0)
    return pages


@contextlib.contextmanager
def places() -> Iterator[dict[str, str]]:
    """Give a place for a queue of each kind."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.support.redis_server import RedisServer

    with contextlib.ExitStack() as stack:
        file, served = (stack.enter_context(tempfile.TemporaryDirectory()) for _ in range(2))
        stack.enter_context(server := RedisServer(Path(served)))
        yield {"sqlite": file, "redis": server.url}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=KILLS, help="for each kind of queue")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    pages, encoder = wikispeedia_pages(), Encoder()
    with places() as kinds:
        figures = {
            kind: kill_workers(where, Slow(pages), encoder, list(pages), arguments.kills)
            for kind, where in kinds.items()
        }
    sums = {name: sum(of[name] for of in figures.values()) for name in ("kills", "lost", "duplicated", "left_over")}
    result = {**sums, "damaged": sum(of["damaged"] for of in figures.values()), **figures}
    print(json.dumps(result, indent=2, ensure_ascii=False))
    if arguments.json:
        write_json(arguments.json, result)


if __name__ == "__main__":
    main()
