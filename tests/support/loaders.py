"""Every loader of files that kgrl has, with valid files to damage: the targets of the fuzzer."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from kgrl.agents.policy.network import CandidateScorer, PolicyConfig, load_policy, save_policy
from kgrl.agents.training.recipe import Recipe, read_recipe
from kgrl.benchmark.folder import agree
from kgrl.benchmark.runner import read_rows
from kgrl.cli.run import RunCommand
from kgrl.corpus import Cloze, Corpus
from kgrl.data.fictional.questions import DEPTHS, read_articles
from kgrl.data.folder import load_folder, save_folder
from kgrl.data.traces.trace_store import StoredTraces, write_traces
from kgrl.data.wikimedia.clickstream import read_clickstream
from kgrl.data.wikimedia.dump import _Reader
from kgrl.data.wikimedia.dump_join import Imported, join_pieces
from kgrl.data.wikimedia.dump_pieces import parse_batch
from kgrl.data.wikimedia.page_cache import PageCache
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import TopicGraph
from kgrl.learners.adapters.folder import _read_facts
from kgrl.learners.simulated.calibration import Calibration
from kgrl.learners.simulated.courses import Transfer
from kgrl.learners.simulated.learner import curves_of
from kgrl.research.library import Library
from kgrl.research.log import Arrival
from kgrl.research.page import Page
from kgrl.retrieval.building import StoredTexts, build_index
from kgrl.retrieval.faiss_retriever import FaissRetriever
from kgrl.retrieval.sources import PassageSource
from kgrl.rewards.expression import parse_reward
from kgrl.runs.checkpoint import Checkpoint
from kgrl.runs.choices import Choice
from kgrl.runs.records import read_metrics
from kgrl.runs.run import Run
from kgrl.system.files import write_json
from kgrl.system.schemas import yaml_text
from kgrl.testing.fuzzing import FuzzTarget as Target
from kgrl.testing.samples import sample_corpus, sample_expansions
from kgrl.traces.trace import Trace
from tests.support.simulated import StubEncoder, made_up_calibration

__all__ = ["TARGETS"]

_CORPUS = sample_corpus()
_ASKED = [Cloze(n, f"{title} was found by ", "Ada", ".", ("Bob", "Carl"), "finders") for n, title in enumerate("abc")]


def _file(name: str, content: bytes | str) -> Callable[[Path], Path]:
    """Return a function that writes a file, and names it."""

    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def _lines(records: Iterable[Any]) -> str:
    return "".join(f"{record if isinstance(record, str) else json.dumps(record)}\n" for record in records)


# --- corpora


def _folder(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        save_folder(_CORPUS, folder / "mine")
        return folder / "mine" / name

    return make


def _parquet(folder: Path) -> Path:
    save_folder(_CORPUS, folder / "mine")
    lines = (folder / "mine" / "passages.jsonl").read_text().splitlines()
    (folder / "mine" / "passages.jsonl").unlink()
    path = folder / "mine" / "passages.parquet"
    pq.write_table(pa.Table.from_pylist([json.loads(line) for line in lines]), path, row_group_size=8)
    return path


def _questions(folder: Path) -> Path:
    made = Corpus("asked", _CORPUS.graph, _CORPUS.texts, _CORPUS.topics, _CORPUS.splits, _ASKED)
    save_folder(made, folder / "mine")
    return folder / "mine" / "questions.jsonl"


def _own_exam(folder: Path) -> Path:
    save_folder(_CORPUS, folder / "mine")
    path = folder / "mine" / "exam.jsonl"
    titles = list(_CORPUS.graph.titles)[:6]
    lines = ({"topic": title, "text": f"{title} is asked for by line {n}."} for n, title in enumerate(titles))
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def _check_questions(corpus: Corpus) -> None:
    assert all(question.statement.strip() and question.wrong and question.group for question in corpus.questions)


def _articles(folder: Path) -> Path:
    pairs = {f"{depth}_{part}": [f"a {part}"] for depth in DEPTHS for part in ("input", "target")}
    return _file("articles.json", json.dumps([{"train_context": f"Town {n} is a town.", **pairs} for n in range(3)]))(
        folder
    )


def _loaded(folder: Path) -> Corpus:
    return load_folder(folder / "mine")


def _skipping(folder: Path) -> Corpus:
    return load_folder(folder / "mine", on_error="skip")


def _check_corpus(corpus: Corpus) -> None:
    assert all(isinstance(text, str) and text.strip() and text != "None" for text in corpus.texts)
    assert set(corpus.splits.tolist()) <= {0, 1, 2}
    assert len(set(corpus.graph.titles)) == len(corpus.graph)
    assert corpus.fingerprint


# --- runs

_EXPANSIONS = sample_expansions()
_CHOICES = [Choice.of(i, 3, np.arange(5), np.full(5, 0.2)) for i in range(1, 4)]
_METRICS = [
    {"index": i, "tokens": 50 * i, "exam_loss": 4.0 - i / 10, "exam_losses": [4.0, 3.5], "exam_seconds": 0.1}
    for i in range(3)
]


def _check_expansions(expansions: list[Expansion]) -> None:
    for step in expansions:
        assert np.isfinite([step.train_loss, *(p.gain for p in step.probes.values() if p.topics)]).all()
        assert step.tokens >= 0 and all(isinstance(t, int) for t in step.neighbourhood)


def _checkpoint(folder: Path) -> Path:
    made = Checkpoint("step-000001", 1, 2.5, {"state": {"state": 2**100}}, {"kgrl": "1"}, {}, {})
    path = Checkpoint.file_in(folder)
    path.parent.mkdir()
    made.write(folder)
    return path


# --- others


def _check_calibration(calibration: Calibration) -> None:
    curves = curves_of(calibration, len(_CORPUS.graph), [None, *range(len(calibration.members))])
    assert all(np.isfinite(np.asarray(part)).all() for part in (curves.untaught, curves.response))
    # Losses of topics that were read, as the simulated learner computes them.
    drops = calibration.parameters.drop(1_000.0, np.linspace(0.0, 500.0, 5))
    assert np.isfinite(drops).all()


def _cell(folder: Path) -> Path:
    path = folder / "coverage" / "small" / "scratch" / "random" / "0.json"
    path.parent.mkdir(parents=True)
    named = {"task": "coverage", "corpus": "small", "learner": "scratch", "agent": "random", "seed": 0}
    figures = {"aulc": 4.0, "budget": 100, "tokens": 100, "probe_tokens": 10, "expansions": 2, "flops": None}
    rest = {"curve": [[0, 5.0], [100, 4.0]], "noise_share": None, "seconds": {"all": 1.0}, "overhead": 0.1}
    write_json(path, {**named, "status": "finished", **figures, **rest})
    return path


def _check_rows(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        assert row["status"] == "failed" or np.isfinite(np.array(row["curve"], dtype=float)).all()


def _about(folder: Path) -> Path:
    path = folder / "about.json"
    write_json(path, {"version": "1", "agents": {"random": {"class": "Random"}}, "places": {"a/b/c": {"budget": 1}}})
    return path


def _agreed(folder: Path) -> Any:
    # A folder whose description is damaged is begun anew; one that says something else is refused.
    return agree(folder / "about.json", {"version": "1", "agents": {"random": {"class": "Random"}}, "places": {}})


_ARRIVALS = [
    Arrival(f"Topic {n}", "c", (f"Topic {n + 1}",), (), ("A.", "B."), (0, 2), np.ones((1, 4), np.float32), 1.5)
    for n in range(3)
]


def _library(folder: Path) -> Any:
    library = Library(folder / "pages.jsonl")
    return library.corpus(len(library))


def _index(folder: Path) -> Path:
    FaissRetriever(np.arange(6), np.eye(6, 8, dtype=np.float32)).save(folder / "index", "encoder")
    return next((folder / "index").glob("*.json"))


def _searched(folder: Path) -> Any:
    return FaissRetriever.open(folder / "index", "encoder").search(np.ones((1, 8), np.float32), 3)


def _stored_texts(folder: Path) -> Path:
    (folder / "passages.jsonl").write_text(_lines({"text": f"Sentence {n} is here."} for n in range(9)))
    build_index(PassageSource(str(folder / "passages.jsonl")), folder / "built", StubEncoder())
    return folder / "built" / "texts.npy"


def _graph(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        _CORPUS.graph.save(folder / "graph")
        return folder / "graph" / name

    return make


def _opened_graph(folder: Path) -> Any:
    graph = TopicGraph.open(folder / "graph")
    return [graph.titles[0], graph.neighbours(0).tolist(), graph.categories[0]]


def _traces(folder: Path) -> Path:
    path = folder / "traces.parquet"
    write_traces(path, [Trace((0, 1, 2), source="x"), Trace((3, 4), source="y")], _CORPUS.graph)
    return path


def _transfer(folder: Path) -> Path:
    path = folder / "transfer.json"
    write_json(path, {"corpus": "x", "fingerprint": "y", "tokens": 9, "topics": [1, 2], "before": [4.0, 3.0]})
    return path


def _cache(folder: Path) -> Path:
    cache = PageCache(folder / "pages.db")
    for n in range(8):
        cache.put("site", f"Page {n}", Page(f"Page {n}", "A text. " * 50, ("Other",), ("c",), 1.0))
    cache.close()
    return folder / "pages.db"


def _cached(folder: Path) -> Any:
    cache = PageCache(folder / "pages.db")
    try:
        return [cache.get("site", f"Page {n}") for n in range(8)]
    finally:
        cache.close()


def _source(name: str, on_error: Any = "fail") -> Callable[[Path], Any]:
    return lambda folder: list(PassageSource(str(folder / name), "text", on_error).passages())


def _check_passages(texts: list[str]) -> None:
    assert all(isinstance(text, str) and text not in ("None", "null") and not text.startswith("['") for text in texts)


_PASSAGES = _lines({"text": f"Sentence {n} is here. And another one."} for n in range(20))


def _parquet_source(folder: Path) -> Path:
    pq.write_table(pa.table({"text": [f"Sentence {n}." for n in range(40)]}), folder / "a.parquet", row_group_size=10)
    return folder / "a.parquet"


def _config() -> str:
    return yaml_text(RunCommand(corpus="vital", learner="scratch", nucleus=("pagerank",), fact_recall=0).config())


def _configured(folder: Path) -> Any:
    return RunCommand(resume=folder).resumed()


def _parsed(folder: Path) -> Any:
    return parse_reward((folder / "reward").read_bytes().decode(errors="replace"))


def _written(calibration: Calibration, path: Path) -> Path:
    calibration.write(path)
    return path


_CLICKS = "".join(f"{_CORPUS.graph.titles[n]}\t{_CORPUS.graph.titles[n + 1]}\tlink\t{n + 10}\n" for n in range(11))


_PAGES = "".join(
    f"<page><title>Page {n}</title><ns>0</ns><id>{n}</id><revision><id>{n}</id><timestamp>2026-01-01T00:00:00Z"
    f"</timestamp><model>wikitext</model><text>Page {n} is about [[Page {n + 1}]]. It has ''words''. Nobody counts."
    "</text></revision></page>\n"
    for n in range(1, 6)
)
_DUMP = (
    '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="en"><siteinfo><dbname>x'
    '</dbname><case>first-letter</case><namespaces><namespace key="0" case="first-letter" /><namespace key="14" '
    f'case="first-letter">Category</namespace></namespaces></siteinfo>\n{_PAGES}</mediawiki>\n'
)


def _imported(folder: Path) -> Corpus:
    """Import a dump as `import_dump` does, in this process."""
    done = Imported()
    reader = _Reader(folder / "wiki.xml", None, done, lambda at, title: None)
    for number, batch in enumerate(reader.batches()):
        parse_batch(batch, folder / f"{number}.jsonl", reader.site)
    join_pieces(sorted(folder.glob("*.jsonl")), folder / "out", done, reader.disambiguations)
    return load_folder(folder / "out")


def _policy(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        save_policy(CandidateScorer(PolicyConfig(hidden=8, recurrent=8, heads=2, members=1)), folder, {"slots": 5})
        return folder / name

    return make


def _clicked(folder: Path) -> Any:
    return read_clickstream(folder / "clicks.tsv", _CORPUS.graph)


TARGETS = [
    Target("topics.jsonl", _folder("topics.jsonl"), _loaded, _check_corpus, named=False),
    Target("links.tsv", _folder("links.tsv"), _loaded, _check_corpus, named=False),
    Target("passages.jsonl", _folder("passages.jsonl"), _loaded, _check_corpus, named=False),
    Target("passages.parquet", _parquet, _loaded, _check_corpus, named=False),
    Target("questions.jsonl", _questions, _loaded, _check_questions),
    Target("exam.jsonl", _own_exam, _loaded, _check_corpus),
    Target("articles", _articles, lambda f: read_articles(f / "articles.json")),
    Target("passages.parquet, skipping", _parquet, _skipping, _check_corpus),
    Target("topics.jsonl, skipping", _folder("topics.jsonl"), _skipping),
    Target("curriculum.jsonl", _file("curriculum.jsonl", _lines(e.to_json() for e in _EXPANSIONS)),
               Run.read_expansions, _check_expansions),
    Target("choices.jsonl", _file("choices.jsonl", _lines(c.to_json() for c in _CHOICES)), Choice.read),
    Target("metrics.jsonl", _file("metrics.jsonl", _lines(_METRICS)), lambda f: read_metrics(f / "metrics.jsonl")),
    Target("checkpoint", _checkpoint, Checkpoint.read),
    Target("config.yaml", _file("config.yaml", _config()), _configured, named=False),
    Target("recipe", _file("mine.yaml", yaml_text(asdict(Recipe()))), lambda f: read_recipe(str(f / "mine.yaml"))),
    Target("calibration", lambda f: _written(made_up_calibration(_CORPUS), f / "calibration.json"),
               lambda f: Calibration.read(f / "calibration.json"), _check_calibration),
    Target("reward expression", _file("reward", "0.7*mean-prediction-gain + 0.3*clip(information-gap, -1, 1)"),
               _parsed, named=False),
    Target("benchmark cell", _cell, read_rows, _check_rows, named=False),
    Target("about.json", _about, _agreed),
    Target("pages.jsonl", _file("pages.jsonl", _lines(a.to_json() for a in _ARRIVALS)), _library, _check_corpus),
    Target("index", _index, _searched, named=False),
    Target("stored texts", _stored_texts, lambda f: [StoredTexts(f / "built")[i] for i in range(9)], named=False),
    Target("graph.json", _graph("graph.json"), _opened_graph, named=False),
    Target("stored graph", _graph("indices.npy"), _opened_graph, named=False),
    Target("traces", _traces, lambda f: list(StoredTraces(f / "traces.parquet", _CORPUS.graph))),
    Target("transfer", _transfer, Transfer.read),
    Target("adapter", _file("kgrl.json", json.dumps({"base_model": "a@b", "base_model_origin": {"hub": "x"},
               "corpus": "c", "titles": ["t"], "tokens": 9, "losses": {"exam": 3.0}})), _read_facts),
    Target("dump", _file("wiki.xml", _DUMP), _imported, _check_corpus),
    Target("policy.json", _policy("policy.json"), load_policy),
    Target("policy.safetensors", _policy("policy.safetensors"), load_policy, named=False),
    Target("page cache", _cache, _cached),
    Target("passages of .jsonl", _file("a.jsonl", _PASSAGES), _source("a.jsonl"), _check_passages),
    Target("passages of .jsonl, skipping", _file("a.jsonl", _PASSAGES), _source("a.jsonl", "skip")),
    Target("passages of .gz", _file("a.jsonl.gz", gzip.compress(_PASSAGES.encode())), _source("a.jsonl.gz")),
    Target("passages of .zst", _file("a.jsonl.zst", zstandard.compress(_PASSAGES.encode())), _source("a.jsonl.zst")),
    Target("passages of .parquet", _parquet_source, _source("a.parquet"), _check_passages),
    Target("clickstream", _file("clicks.tsv", _CLICKS), _clicked),
]  # fmt: skip
"""The loaders. Dumps are parsed in this process, where `import_dump` starts others."""
