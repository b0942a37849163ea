"""Measure `kgrl data build` at several sizes, and how long a corpus folder takes to be opened again.

    python benchmarks/building.py --json docs/results/building.json

**Sizes.** Documents are generated: 36 words each in three sentences, drawn from 20,000 words by a power law. They have
no titles; in a second series they have, and each names two others. Every build is in a process of its own. Memory is
looked at twenty times a second: what the process allocated (`anonymous`), and pages of files that it mapped (`mapped`),
which the system may drop when memory is short. Seconds are the processor's, since other jobs run on the machine.
A third series mines concepts from documents like those of the first.

**Opening.** 1,000 whole articles of Wikispeedia (`$KGRL_DATA/wikispeedia`) as a corpus folder, and a folder of yours
(`--folder`). Each is opened in new processes: once without anything in the cache, then three times again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from kgrl.data import build_folder, load_corpus
from kgrl.data.folder import save_folder
from kgrl.system.files import write_json

WORDS, VOCABULARY, EXPONENT = 36, 20_000, 1.3
ARTICLES = 1_000
MIB = 1 << 20


@dataclass(frozen=True)
class Building:
    """Measure builds and openings.

    Args:
        sizes: Numbers of documents without titles.
        titled: Numbers of documents with titles.
        concepts: Numbers of documents without titles, from which concepts are mined.
        folder: A corpus folder to open beside Wikispeedia's.
        root: Folder of the Wikispeedia archives; by default `$KGRL_DATA/wikispeedia`.
        json: Write the figures to this file; series that were not asked for stay as they are there.
        part: A build or an opening, for the processes that this script starts.
    """

    sizes: tuple[int, ...] = (20_000, 100_000, 300_000)
    titled: tuple[int, ...] = (20_000, 100_000)
    concepts: tuple[int, ...] = (20_000,)
    folder: Path | None = None
    root: Path | None = None
    json: Path | None = None
    part: tuple[str, ...] = ()


def main(command: Building) -> None:
    if command.part:
        kind, place = command.part[:2]
        figures = opened(Path(place)) if kind == "open" else built(Path(place), kind)
        print(json.dumps(figures))
        return
    told = json.loads(command.json.read_text()) if command.json and command.json.exists() else {}
    with tempfile.TemporaryDirectory() as parent:
        series = {"untitled": command.sizes, "titled": command.titled, "concepts": command.concepts}
        for name, sizes in series.items():
            rows = [sized(Path(parent), n, name) for n in sizes]
            if rows:
                told[name] = rows
        told["opening"] = {name: openings(folder) for name, folder in folders(command, Path(parent))}
    if command.json:
        write_json(command.json, told)


def folders(command: Building, parent: Path) -> Iterator[tuple[str, Path]]:
    """Yield the corpus folders to open."""
    corpus = load_corpus("wikispeedia", root=command.root)
    starts = np.searchsorted(corpus.topics, np.arange(ARTICLES + 1))
    save_folder(first_topics(corpus, int(starts[-1])), parent / "articles")
    yield f"wikispeedia:{ARTICLES}", parent / "articles"
    if command.folder:
        yield command.folder.name, command.folder


def first_topics(corpus: Any, passages: int) -> Any:
    """Return the first thousand articles with the links among them."""
    from kgrl.corpus import Corpus
    from kgrl.graph import TopicGraph

    sources, targets = corpus.graph.links()
    kept = (sources < ARTICLES) & (targets < ARTICLES)
    titles, categories = corpus.graph.titles[:ARTICLES], corpus.graph.categories[:ARTICLES]
    graph = TopicGraph.from_links(titles, sources[kept], targets[kept], categories)
    texts = [corpus.texts[i] for i in range(passages)]
    return Corpus("articles", graph, texts, corpus.topics[:passages], corpus.splits[:passages])


def openings(folder: Path) -> dict[str, Any]:
    """Return how long a folder takes to be read, and to be opened again, in processes of their own."""
    with tempfile.TemporaryDirectory() as cache:
        first, *again = [part("open", folder, KGRL_CACHE=cache) for _ in range(4)]
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    told = {"first": first, "again": min(again, key=lambda figures: figures["seconds"]), "mib": round(size / MIB, 1)}
    print(folder.name, json.dumps(told), flush=True)
    return told


def opened(folder: Path) -> dict[str, float]:
    """Open a folder in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    corpus = load_corpus(folder)
    seconds = time.perf_counter() - wall, time.process_time() - cpu
    return {"seconds": round(seconds[0], 3), "cpu_seconds": round(seconds[1], 3), "passages": len(corpus)}


def sized(parent: Path, n: int, series: str) -> dict[str, Any]:
    """Generate documents and build a corpus of them in a process of its own."""
    write_documents(parent / "documents.jsonl", n, series == "titled")
    kind = "concepts" if series == "concepts" else "documents"
    figures = {"documents": n, **part(kind, parent / "documents.jsonl", OMP_NUM_THREADS="1")}
    print(json.dumps(figures), flush=True)
    return figures


def write_documents(path: Path, n: int, titled: bool) -> None:
    """Write documents of three sentences; with titles, each names two others."""
    rng = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(n):
            words = [f"w{word}" for word in rng.zipf(EXPONENT, WORDS) % VOCABULARY]
            if titled:
                words[5], words[17] = (title(int(other)) for other in rng.integers(0, n, 2))
            for end in range(WORDS // 3 - 1, WORDS, WORDS // 3):
                words[end] += "."
            told = {"text": " ".join(words), **({"title": title(number)} if titled else {})}
            file.write(json.dumps(told) + "\n")


def title(number: int) -> str:
    """Return the title of a document."""
    return f"Na{number % 991} Mo{number // 991}"


def built(source: Path, kind: Any) -> dict[str, Any]:
    """Build a corpus in this process, and return its figures."""
    steps: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as parent, peaks() as most:
        result = build_folder(
            source, Path(parent) / "corpus", topics=kind, on_document=lambda _, step: note(steps, step)
        )
    end = time.process_time()
    begins = [*steps.values(), end]
    told = {step: round(after - at, 1) for step, at, after in zip(steps, begins[:-1], begins[1:], strict=True)}
    return {
        "cpu_seconds": round(end, 1),
        "steps": told,
        **{kind: round(n / MIB) for kind, n in most.items()},
        "topics": result.decisions["topics"]["count"],
        "links": result.decisions["links"],
    }


def note(steps: dict[str, float], step: str) -> None:
    steps.setdefault(step, time.process_time())


@contextmanager
def peaks() -> Iterator[Mapping[str, int]]:
    """Look at this process's memory in another thread; yield the peaks in bytes."""
    most = {"anonymous_mib": 0, "mapped_mib": 0}
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.05):
            fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            for kind, field in (("anonymous_mib", "RssAnon"), ("mapped_mib", "RssFile")):
                most[kind] = max(most[kind], int(fields[field].split()[0]) * 1024)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        done.set()
        thread.join()


def part(kind: str, place: Path, **environment: str) -> dict[str, Any]:
    """Do a part in a process of its own, so that only its memory counts."""
    command = [sys.executable, __file__, "--part", kind, str(place)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env={**os.environ, **environment})
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


if __name__ == "__main__":
    main(tyro.cli(Building, description=__doc__))
