"""`kgrl traces`: look at recorded rabbit holes, store them, generate them and export them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kgrl.cli.output import progress, show_facts, show_table
from kgrl.errors import KgrlError, SettingError

if TYPE_CHECKING:
    from kgrl.data.traces.walkers import Walker
    from kgrl.traces.source import TraceSource
    from kgrl.traces.statistics import TraceStats
    from kgrl.traces.trace import Trace

__all__ = ["ExportCommand", "GenerateCommand", "ImportCommand", "ScoreCommand", "StatsCommand"]


_MOVES_SHOWN = 10

_KINDS = ("finished", "unfinished", "inductive")


@dataclass(frozen=True)
class TraceSetting:
    """Where traces come from, described by plain values.

    Args:
        source: The traces: wikispeedia, clickstream, a .parquet file, or the folder of a run.
        root: For the clickstream its file; otherwise the folder of the source files that Wikispeedia is read from.
        corpus: The corpus whose topic graph the traces are on; if none, what the file or run names, else vital.
        walks: Walks to sample from the clickstream.
        seed: Seeds the sampling.
    """

    source: str = "wikispeedia"
    root: Path | None = None
    corpus: str | None = None
    walks: int = 10_000
    seed: int = 0

    def load(self) -> TraceSource:
        """Open the source."""
        from kgrl.data.load import load_traces

        return load_traces(self.source, root=self.root, corpus=self.corpus, walks=self.walks, seed=self.seed)


@dataclass(frozen=True)
class StatsCommand(TraceSetting):
    """Print what traces are like: lengths, return rate, clustering and category moves; plot them.

    Args:
        report: HTML file to write the plots to.
        json: File to write the figures to, as one JSON object.
    """

    report: Path | None = None
    json: Path | None = None

    def run(self) -> dict[str, Any]:
        """Print the figures, write the report, return the figures.

        Raises:
            KgrlError: If the source is not known or holds no trace, or more than 5% of it cannot be used.
        """
        from kgrl.traces.statistics import trace_stats

        source = self.load()
        stats = trace_stats(source, source.graph)
        if not stats:
            raise KgrlError(f"{source.tally}: no trace to look at")
        _show_stats(self.source, stats)
        counts = _show_rows(source)
        if self.report is not None:
            from kgrl.report.page import write_trace_report

            write_trace_report(self.report, f"Traces of {self.source}", stats)
            show_facts("", [("written", self.report)])
        figures = {name: of_source.figures() for name, of_source in stats.items()}
        return {"source": self.source, **counts, "sources": figures}


@dataclass(frozen=True, kw_only=True)
class ImportCommand(TraceSetting):
    """Read traces from a source and store them in a Parquet file.

    Args:
        out: The file to write, ending in .parquet.
        json: File to write the counts to, as one JSON object.
    """

    out: Path
    json: Path | None = None

    def run(self) -> dict[str, Any]:
        """Write the file, print and return what was read and skipped.

        Raises:
            KgrlError: If the source is not known, or more than 5% of it cannot be used; nothing is written then.
        """
        from kgrl.data.load import traced_corpus
        from kgrl.data.traces.trace_store import write_traces

        _check_ending(self.out)
        source = self.load()
        stored = write_traces(self.out, source, source.graph, corpus=self.corpus or traced_corpus(self.source))
        counts = _show_rows(source)
        show_facts("", [("traces", stored), ("written", self.out)])
        return {"source": self.source, "traces": stored, **counts, "file": str(self.out)}


@dataclass(frozen=True, kw_only=True)
class ExportCommand(TraceSetting):
    """Export traces as a Minari dataset, to the folder where Minari keeps them.

    Args:
        dataset_id: Minari's name for the dataset, for example rabbit-holes/wikispeedia-v0.
        json: File to write the counts to, as one JSON object.
    """

    dataset_id: str
    json: Path | None = None

    def run(self) -> dict[str, Any]:
        """Write the dataset, print and return where it is.

        Raises:
            KgrlError: If Minari is not installed or has such a dataset already, or the source cannot be read.
        """
        from kgrl.data.traces.minari_export import export_minari

        source = self.load()
        folder = export_minari(source, source.graph, self.dataset_id)
        counts = _show_rows(source)
        show_facts("", [("dataset", self.dataset_id), ("folder", folder)])
        return {"source": self.source, **counts, "dataset_id": self.dataset_id, "folder": str(folder)}


@dataclass(frozen=True, kw_only=True)
class GenerateCommand:
    """Let a walker follow links on a topic graph, and store its traces in a Parquet file.

    Args:
        out: The file to write, ending in .parquet.
        walker: embedding, from hunter to busybody; or model, where a language model picks the links.
        corpus: The corpus: a name such as vital or wikispeedia, or a folder.
        root: Folder of the corpus's source files, for corpora that are read from some.
        walks: Number of walks.
        length: Most steps of a walk, the start and back clicks counted.
        curiosity: For embedding: from 0, a hunter who stays close and returns, to 1, a busybody who jumps far.
        model: For model: smollm2, a Hugging Face causal model by name, or a folder.
        temperature: For model: nats per token by which a title must lead for e-fold odds.
        memory: For model: titles of opened pages that the model reads.
        seed: Seeds starts and steps.
        json: File to write the counts to, as one JSON object.
    """

    out: Path
    walker: Literal["embedding", "model"] = "embedding"
    corpus: str = "vital"
    root: Path | None = None
    walks: int = 1_000
    length: int = 20
    curiosity: float = 0.5
    model: str = "smollm2"
    temperature: float = 0.5
    memory: int = 8
    seed: int = 0
    json: Path | None = None

    def run(self) -> dict[str, Any]:
        """Walk, write the file, print and return what was written.

        Raises:
            KgrlError: If a name is not known, or a setting is out of range.
        """
        from kgrl.data.traces.trace_store import write_traces
        from kgrl.data.traces.walkers import WalkSource

        _check_ending(self.out)
        source = WalkSource(self.make_walker(), self.walks, self.length, self.seed)
        stored = write_traces(self.out, _watched(source, self.walks), source.graph, corpus=self.corpus)
        show_facts("", [("walker", source.walker.source), ("traces", stored), ("written", self.out)])
        return {"walker": source.walker.source, "corpus": self.corpus, "traces": stored, "file": str(self.out)}

    def make_walker(self) -> Walker:
        """Make the walker on its corpus."""
        from kgrl.data.load import load_corpus
        from kgrl.data.traces.walkers import EmbeddingWalker, ModelWalker
        from kgrl.learners.decoder.titles import ModelTitleScorer
        from kgrl.retrieval.corpus_index import embed_corpus
        from kgrl.retrieval.encoder import Encoder

        corpus = load_corpus(self.corpus, root=self.root)
        if self.walker == "model":
            return ModelWalker(corpus, ModelTitleScorer(self.model), self.temperature, self.memory)
        _, embeddings = embed_corpus(corpus, Encoder())
        return EmbeddingWalker(corpus.graph, embeddings, self.curiosity)


def _check_ending(path: Path) -> None:
    if path.suffix != ".parquet":
        raise SettingError(f"cannot store traces in {str(path)!r}: the ending must be .parquet")


def _watched(source: TraceSource, total: int) -> Iterator[Trace]:
    """The traces of a source, with a progress bar on a terminal."""
    with progress("walking", total) as advance:
        for done, trace in enumerate(source, 1):
            yield trace
            advance(done, source.graph.titles[trace.steps[0]])


def _show_rows(source: TraceSource) -> dict[str, Any]:
    """Print what a source read and skipped, and return it for JSON."""
    from kgrl.data.wikimedia.clickstream import ClickstreamWalks

    tally = source.tally
    counts: dict[str, Any] = {"rows": tally.kept, "skipped": dict(tally.skipped)}
    facts = [("kept", tally.kept), *((f"skipped, {kind}", n) for kind, n in tally.skipped.items())]
    if isinstance(source, ClickstreamWalks):
        counts["unused"] = dict(source.clickstream.unused)
        facts += [(f"kept but unused, {kind}", n) for kind, n in source.clickstream.unused.items()]
    show_facts("Rows", facts)
    return counts


def _show_stats(name: str, stats: dict[str, TraceStats]) -> None:
    columns = ["source", "traces", "steps", "mean length", "median", "90%", "back", "return", "clustering", "stay"]
    show_table(f"Traces of {name}", columns, [_row(*item) for item in stats.items()])
    for source, of_source in stats.items():
        moves = [(before, after, count) for (before, after), count in of_source.moves.most_common(_MOVES_SHOWN)]
        if moves:
            show_table(f"Category moves of {source}", ["from", "to", "clicks"], moves)


def _row(source: str, stats: TraceStats) -> list[object]:
    figures = stats.figures()
    length, shares = figures["length"], ("back_share", "return_rate", "clustering", "within_category")
    known = ["" if figures[share] is None else figures[share] for share in shares]
    return [source, figures["traces"], figures["steps"], length["mean"], length["median"], length["p90"], *known]


@dataclass(frozen=True)
class ScoreCommand:
    """Score a policy's next-click predictions on traces, beside uniform, in-degree, Markov and similarity predictors.

    Args:
        policy: builtin, or the folder of a pretrained policy.
        source: The traces: wikispeedia, clickstream, a .parquet file, or the folder of a run.
        root: Folder of the source files, for sources that are read from some.
        corpus: The corpus the traces are on; if none, what the source names.
        split: Which (start, target) pairs to score: test, validation, or all there are, which says nothing where the
            policy was trained on them.
        json: File to write the scores to, as one JSON object.
    """

    policy: str = "builtin"
    source: str = "wikispeedia"
    root: Path | None = None
    corpus: str | None = None
    split: Literal["test", "validation", "all"] = "test"
    json: Path | None = None

    def run(self) -> dict[str, Any]:
        """Score, print and return the scores.

        Raises:
            KgrlError: If the policy or the traces cannot be read, or there is nothing to score.
        """
        from kgrl.agents.pretraining.scoring import ClickScoring
        from kgrl.builtin import FOLDER
        from kgrl.data.traces.traced_clicks import load_clicks

        read = load_clicks(self.source, self.root, self.corpus)
        scoring = ClickScoring(read, FOLDER if self.policy == "builtin" else Path(self.policy), self.split)
        with progress("scoring", scoring.work) as advance:
            done = 0

            def on_clicks(clicks: int) -> None:
                nonlocal done
                done += clicks
                advance(done, "")

            scores = scoring.scores(on_clicks)
        _show(scores)
        return {"policy": self.policy, "split": self.split, "traces": str(read.source.tally), **scores}


def _show(scores: dict[str, Any]) -> None:
    """One row for each predictor and kind of click."""
    rows: list[list[object]] = []
    for name in ("policy", *(name for name in scores if name not in _KINDS)):
        of_name = {kind: scores[kind] for kind in _KINDS} if name == "policy" else scores[name]
        label = "policy, goal shown" if name == "goal" else name
        rows += [[label, kind.replace("_", " "), *found.values()] for kind, found in of_name.items() if found]
    show_table("Next-click predictions", ["predictor", "clicks", "top 1", "MRR", "nats per click", "number"], rows)
