"""`kgrl traces`: show statistics of recorded rabbit holes; store, generate and export them; score policies on them."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
"""Category moves of a source that are printed."""
_KINDS = ("finished", "unfinished", "inductive")


@dataclass(frozen=True)
class TraceSetting:
    """A source of traces, described by plain values.

    Args:
        source: The traces: wikispeedia, clickstream, a .parquet file, or the folder of a run.
        root: For the clickstream its file; otherwise the folder of the source files that Wikispeedia is read from.
        corpus: The corpus whose topic graph the traces are on; by default that of the file or run, else vital.
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
    """Print statistics of traces: lengths, return rate, clustering and category moves; plot them.

    Args:
        report: HTML file to write the plots to.
        json: File to write the figures to, as one JSON object.
    """

    report: Path | None = None
    json: Path | None = None

    def run(self) -> dict[str, Any]:
        """Print the figures, write the report, and return the figures.

        Raises:
            KgrlError: If the source is unknown or holds no trace, or more than 5% of it cannot be used.
        """
        from kgrl.traces.statistics import trace_stats

        source = self.load()
        stats = trace_stats(source, source.graph)
        if not stats:
            raise _no_trace(source)
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
        """Write the file, and print and return the counts of rows read and skipped.

        Raises:
            KgrlError: If the source is unknown or holds no trace, or more than 5% of it cannot be used. Then nothing is
                written.
        """
        from kgrl.data.load import traced_corpus
        from kgrl.data.traces.trace_store import write_traces

        _check_ending(self.out)  # before a source is read, which may take minutes
        source = self.load()
        corpus = self.corpus or traced_corpus(self.source)
        stored = write_traces(self.out, _some(source), source.graph, corpus=corpus)
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
        """Write the dataset, and print and return its counts and its folder.

        Raises:
            KgrlError: If Minari is not installed or has a dataset of that name already, or if the source cannot be
                read or has no trace with a step. Then nothing is written.
        """
        from kgrl.data.traces.minari_export import export_minari

        source = self.load()
        # Traces are counted first: reading them takes seconds where writing takes minutes. So a bad source is refused
        # before anything is written, and the progress bar knows its end.
        episodes = sum(len(trace.steps) > 1 for trace in source)
        if not episodes:
            raise _no_trace(source)
        with progress(f"writing {self.dataset_id}", episodes) as advance, _signals_kept() as raise_if_told_to_end:

            def on_episode(done: int) -> None:
                """Move the progress bar, and end here if the process is told to."""
                raise_if_told_to_end()
                advance(done, "")

            export = export_minari(source, source.graph, self.dataset_id, on_episode=on_episode)
        counts = _show_rows(source)
        written = {"episodes": export.episodes, "left_out": export.left_out}
        facts = [("episodes", export.episodes), ("traces without a step, left out", export.left_out)]
        show_facts("", [*facts, ("dataset", self.dataset_id), ("folder", export.folder)])
        return {
            "source": self.source,
            **counts,
            **written,
            "dataset_id": self.dataset_id,
            "folder": str(export.folder),
        }


@dataclass(frozen=True, kw_only=True)
class GenerateCommand:
    """Let a walker follow links on a topic graph, and store its traces in a Parquet file.

    Args:
        out: The file to write, ending in .parquet.
        walker: embedding, from hunter to busybody; or model, for links picked by a language model.
        corpus: The corpus: a name such as vital or wikispeedia, or a folder.
        root: Folder of the corpus's source files, for corpora that are read from some.
        walks: Number of walks.
        length: Most steps of a walk, including the start and back clicks.
        curiosity: For embedding: from 0, a hunter who stays close and returns, to 1, a busybody who jumps far.
        encoder: For embedding: sentence encoder: static, minilm, or another by its Hugging Face name or folder.
        model: For model: smollm2, a Hugging Face causal model by name, or a folder.
        temperature: For model: nats per token that make a title e times as likely.
        memory: For model: opened pages whose titles the model reads.
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
    encoder: str = "static"
    model: str = "smollm2"
    temperature: float = 0.5
    memory: int = 8
    seed: int = 0
    json: Path | None = None

    def run(self) -> dict[str, Any]:
        """Walk, write the file, and print and return the counts.

        Raises:
            KgrlError: If a name is unknown, or a setting is out of range.
        """
        from kgrl.data.traces.trace_store import write_traces
        from kgrl.data.traces.walkers import WalkSource

        _check_ending(self.out)  # before a model is loaded
        source = WalkSource(self.make_walker(), self.walks, self.length, self.seed)

        def watched() -> Iterator[Trace]:
            """Yield the walks under a progress bar."""
            with progress("walking", self.walks) as advance:
                for done, trace in enumerate(source, 1):
                    yield trace
                    advance(done, source.graph.titles[trace.steps[0]])

        stored = write_traces(self.out, watched(), source.graph, corpus=self.corpus)
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
        _, embeddings = embed_corpus(corpus, Encoder(self.encoder))
        return EmbeddingWalker(corpus.graph, embeddings, self.curiosity)


def _check_ending(path: Path) -> None:
    if path.suffix != ".parquet":
        raise SettingError(f"cannot store traces in {str(path)!r}: the ending must be .parquet")


def _some(source: TraceSource) -> Iterator[Trace]:
    """Yield the traces of a source; raise at the end if there were none."""
    some = False
    for trace in source:
        some = True
        yield trace
    if not some:
        raise _no_trace(source)


def _no_trace(source: TraceSource) -> KgrlError:
    """Return the error that explains why a source has no trace."""
    from kgrl.data.traces.run_traces import RunTraces

    why = "no trace with a click"
    if isinstance(source, RunTraces):
        why += (
            ": a pick is a click only if a learned topic links to it, and this run has no such pick; try a longer run"
        )
    return KgrlError(f"{source.tally}; {why}")


@contextmanager
def _signals_kept() -> Iterator[Callable[[], None]]:
    """Yield a function that raises if the process has been told to end, by SIGTERM or Ctrl-C.

    An exception from a signal handler itself may be lost, since h5py ignores exceptions while it closes objects. An
    exception at a known place is not lost, and lets a half-written dataset be deleted.
    """
    received: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda number, frame: received.append(number)) for number in numbers]

    def raise_if_told_to_end() -> None:
        """Raise the exception of the signal that has arrived."""
        if signal.SIGINT in received:
            raise KeyboardInterrupt
        if received:
            sys.exit(128 + signal.SIGTERM)

    try:
        yield raise_if_told_to_end
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _show_rows(source: TraceSource) -> dict[str, Any]:
    """Print the counts of rows that a source read and skipped, and return them for JSON."""
    from kgrl.data.wikimedia.clickstream import ClickstreamWalks

    tally = source.tally
    counts: dict[str, Any] = {"rows": tally.kept, "skipped": dict(tally.skipped)}
    facts = [("kept", tally.kept), *((f"skipped, {kind}", n) for kind, n in tally.skipped.items())]
    # Walks are sampled from the counts of a file. Most of its rows are about other topics, which is not an error.
    if isinstance(source, ClickstreamWalks):
        counts["unused"] = dict(source.clickstream.unused)
        facts += [(f"kept but unused, {kind}", n) for kind, n in source.clickstream.unused.items()]
    show_facts(tally.unit.capitalize(), facts)
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
    known = ["" if figures[share] is None else figures[share] for share in shares]  # None: too short, no categories
    return [source, figures["traces"], figures["steps"], length["mean"], length["median"], length["p90"], *known]


@dataclass(frozen=True)
class ScoreCommand:
    """Score a policy's next-click predictions on traces, beside uniform, in-degree, Markov and similarity predictors.

    Args:
        policy: builtin or ppo, which ship with kgrl, or the folder of a policy.
        source: The traces: wikispeedia, clickstream, a .parquet file, or the folder of a run.
        root: Folder of the source files, for sources that are read from some.
        corpus: The corpus the traces are on; by default the one that the source names.
        split: The (start, target) pairs to score: test, validation, or all, which is meaningless for pairs that the
            policy was trained on.
        encoder: Sentence encoder: static (ships with kgrl), minilm, or another by its Hugging Face name or folder.
        json: File to write the scores to, as one JSON object.
    """

    policy: str = "builtin"
    source: str = "wikispeedia"
    root: Path | None = None
    corpus: str | None = None
    split: Literal["test", "validation", "all"] = "test"
    encoder: str = "static"
    json: Path | None = None

    def run(self) -> dict[str, Any]:
        """Score the policy, and print and return the scores.

        Raises:
            KgrlError: If the policy or the traces cannot be read, or there is nothing to score.
        """
        from kgrl.agents.pretraining.scoring import ClickScoring
        from kgrl.builtin import FOLDER
        from kgrl.data.traces.traced_clicks import load_clicks

        read = load_clicks(self.source, self.root, self.corpus, self.encoder)
        shipped = {"builtin": FOLDER, "ppo": FOLDER / "ppo"}
        scoring = ClickScoring(read, shipped.get(self.policy, Path(self.policy)), self.split)
        with progress("scoring", scoring.work) as advance:
            done = 0

            def on_clicks(clicks: int) -> None:
                """Add up the clicks of a batch, since the bar shows the sum."""
                nonlocal done
                done += clicks
                advance(done, "")

            scores = scoring.scores(on_clicks)
        _show(scores)
        return {"policy": self.policy, "split": self.split, "traces": str(read.source.tally), **scores}


def _show(scores: dict[str, Any]) -> None:
    """Print one row for each predictor and kind of click."""
    rows: list[list[object]] = []
    # The policy's own scores stand at the top level, those of other predictors under their names.
    for name in ("policy", *(name for name in scores if name not in _KINDS)):
        of_name = {kind: scores[kind] for kind in _KINDS} if name == "policy" else scores[name]
        label = "policy, goal shown" if name == "goal" else name
        rows += [[label, kind.replace("_", " "), *found.values()] for kind, found in of_name.items() if found]
    show_table("Next-click predictions", ["predictor", "clicks", "top 1", "MRR", "nats per click", "number"], rows)
