"""Measure what fetching costs training: everything in memory, expansion that runs ahead, and expansion that waits.

    python benchmarks/research.py --json docs/results/research.json

Each teaches the same learner with the same agent and budget. Pages are those of Wikispeedia, and each takes so many
milliseconds to fetch. The run in memory repeats the one that runs ahead, expansion by expansion, from its library: the
same lessons, and nothing to fetch, embed or index. A share is the tokens trained per second divided by those of that
run, from the end of the nucleus to the end of the budget. The three rounds take about eight minutes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kgrl.agents import make_agent
from kgrl.corpus import Corpus
from kgrl.curriculum.config import CurriculumConfig
from kgrl.data import load_corpus
from kgrl.learners.make import make_learner
from kgrl.research import Library, Page, QueueSupply, ResearchQueue, Worker, page_sources, run_workers, worker_process
from kgrl.research.growing import GrowingCurriculum, Recorded, Supply, first_corpus
from kgrl.retrieval.encoder import Encoder
from kgrl.runs.run import Run
from kgrl.system.files import write_json, write_text

_NUCLEUS = ("Physics", "Mathematics")
_FIRST = 64


class SlowPages:
    """A page source that serves a corpus's topics after a wait.

    Args:
        corpus: The corpus.
        seconds: Seconds of fetching a page.
    """

    def __init__(self, corpus: Corpus, seconds: float) -> None:
        self.corpus, self.seconds = corpus, seconds

    def page(self, title: str) -> Page | None:
        """Return a page after the wait."""
        time.sleep(self.seconds)
        corpus = self.corpus
        topic = corpus.graph.index(title)
        first, last = np.searchsorted(corpus.topics, [topic, topic + 1])
        links = tuple(corpus.graph.titles[t] for t in corpus.graph.out(topic))
        category = (corpus.graph.categories[topic],)
        return Page(title, "\n".join(corpus.texts[first:last]), links, category, time.time())


@page_sources.register("slow")
def _slow(seconds: float) -> SlowPages:
    """Return the page source of the worker process, which imports this file, too."""
    return SlowPages(load_corpus("wikispeedia"), seconds)


class Waiting(QueueSupply):
    """A supply that fetches pages itself when they are wanted, one after another: as many as an expansion reads.

    Args:
        queue: The queue.
        worker: Does its jobs.
        pages: Pages that an expansion reads.
    """

    def __init__(self, queue: ResearchQueue, worker: Worker, pages: int) -> None:
        super().__init__(queue)
        self.worker, self.pages = worker, pages

    def want(self, titles: Sequence[str]) -> None:
        """Fetch and prepare the best of the wanted pages, and return when that is done."""
        super().want(titles[: self.pages])
        while self.busy():
            self.worker.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--milliseconds", type=int, default=300, help="of fetching a page")
    parser.add_argument("--learner", default="lora")
    parser.add_argument("--tokens", type=int, default=12_000, help="budget of each run")
    parser.add_argument(
        "--workers", type=int, default=4, help="pages that the process which runs ahead fetches at a time"
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of each kind, in turn")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of the learner")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    corpus = load_corpus("wikispeedia")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        for number in range(args.rounds):
            for kind in ("async", "memory", "sync"):
                row = measured(kind, corpus, args, Path(temporary) / str(number))
                rows.append(row | {"round": number})
                print(json.dumps(rows[-1]), flush=True)
    result = summary(rows) | {"settings": {k: v for k, v in vars(args).items() if k != "json"}, "runs": rows}
    print(json.dumps({k: v for k, v in result.items() if k != "runs"}, indent=1))
    if args.json:
        write_json(args.json, result)


def measured(kind: str, corpus: Corpus, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run one curriculum of a kind, and return its speed."""
    config = CurriculumConfig(budget_tokens=args.tokens, nucleus=_NUCLEUS)
    if kind == "memory":  # comes after "async" of the same round, which it repeats
        library, recorded = Library(folder / "async" / "pages.jsonl"), Run.read_expansions(folder / "async")
        return timed(kind, library, Recorded(recorded), library.corpus(recorded[0].arrived or 0), config, args, folder)
    encoder, seconds, where = Encoder(), args.milliseconds / 1000, folder / kind
    queue, library = ResearchQueue.open(str(where / "queue")), Library(where / "pages.jsonl")
    queue.configure({"source": {"source": "slow", "seconds": seconds}, "encoder": encoder.fingerprint})
    if kind == "async":
        with worker_process(str(where / "queue"), args.workers):
            first = first_corpus(library, QueueSupply(queue), _NUCLEUS, _FIRST)
            return timed(kind, library, QueueSupply(queue), first, config, args, folder)
    source = SlowPages(corpus, seconds)
    with run_workers(queue, lambda: source, encoder, threads=args.workers):
        first = first_corpus(library, QueueSupply(queue), _NUCLEUS, _FIRST)
    waiting = Waiting(queue, Worker(queue, source, encoder), config.neighbourhood)
    return timed(kind, library, waiting, first, config, args, folder)


def timed(
    kind: str,
    library: Library,
    supply: Supply,
    first: Corpus,
    config: CurriculumConfig,
    args: argparse.Namespace,
    folder: Path,
) -> dict[str, Any]:
    """Run and record a curriculum, and return its speed from the end of the nucleus on."""
    learner = make_learner(args.learner, first)
    curriculum = GrowingCurriculum(first, learner, library, supply, "mean-prediction-gain", config)
    steps, began = [], 0.0
    for expansion in curriculum.run(make_agent("closure")):
        steps.append(expansion)
        if expansion.index == 0:  # the nucleus waits for its pages in every kind, so it is not counted
            began = time.perf_counter()
    elapsed = time.perf_counter() - began
    write_text(folder / kind / "curriculum.jsonl", "".join(step.to_json() + "\n" for step in steps))
    tokens = sum(step.tokens for step in steps[1:])
    phases = {phase: sum(step.seconds[phase] for step in steps[1:]) for phase in ("research", "learn", "probe")}
    return {
        "kind": kind,
        "tokens": tokens,
        "seconds": elapsed,
        "tokens_per_second": tokens / elapsed,
        "seconds_by_phase": phases,
        "expansions": len(steps),
        "topics": len(curriculum.corpus.graph),
        "age_seconds": float(np.mean([step.data_age for step in steps[1:]])),
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the median share of each kind over the rounds; a run is compared with the memory run of its round."""
    rounds = sorted({row["round"] for row in rows})
    speed = {(row["kind"], row["round"]): row["tokens_per_second"] for row in rows}
    shares = {k: [speed[k, r] / speed["memory", r] for r in rounds] for k in ("async", "sync")}
    return {f"{kind}_share": float(np.median(values)) for kind, values in shares.items()} | {"shares": shares}


if __name__ == "__main__":
    main()
