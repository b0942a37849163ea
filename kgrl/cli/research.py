"""`kgrl research`: train on a live site while its pages are fetched, and search passages of your own.

A live run and its workers share a queue. The run writes down the topics it wants; workers fetch, clean, embed and
index them. The run records the pages in its own folder, so that it can be replayed without the network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from tyro.conf import Positional, Suppress, arg

from kgrl.cli.arguments import MOST_COUNT, JsonFile, check_range, default_is
from kgrl.cli.output import progress, show_facts, show_table
from kgrl.cli.run import RunCommand
from kgrl.cli.trust import check_code
from kgrl.errors import KgrlError, SettingError
from kgrl.system.files import absolute

if TYPE_CHECKING:
    from kgrl.corpus import Corpus
    from kgrl.curriculum.config import CurriculumConfig
    from kgrl.curriculum.loop import Curriculum
    from kgrl.research.growing import GrowingCurriculum, Supply
    from kgrl.research.library import Library
    from kgrl.research.queue import ResearchQueue, Status

__all__ = ["IndexCommand", "ReplayCommand", "ResearchRunCommand", "SearchCommand", "StatusCommand", "WorkerCommand"]

_PAGES, _QUEUE = "pages.jsonl", "queue"
"""The file and the folder, in a live run's folder, of the pages that arrived and of the queue."""
_LEAST_RATE = 1e-3
"""Requests per second below which a run would not end in a lifetime."""
_MOST_SHOWN = 20
"""Rows of a status table."""
_SHOWN_CHARACTERS = 160
"""Characters of a found passage on the screen."""
_FUSED = 50
"""Passages of either ranking that a hybrid search fuses: the ones below hardly change the first few."""


@dataclass(frozen=True)
class ResearchRunCommand(RunCommand):
    """Run one curriculum on a live wiki: pages are fetched ahead of training, and the topic graph grows with them.

    Other arguments are those of `kgrl run`, without tasks. An interrupted run continues with --resume.

    Args:
        nucleus: Titles of the articles to start from.
        url: API of the MediaWiki site, such as https://en.wikipedia.org/w/api.php.
        language: Language of the Wikipedia to read, where no --url is given.
        queue: Place of the job queue: a folder, or redis://HOST:PORT/DB for workers on other machines.
        workers: Jobs done at a time by a process beside this one; 0 leaves them all to `kgrl research worker`.
        first_topics: Topics to wait for before training begins.
        ahead: Topics that have arrived but are not read, to keep in stock. More give the agent a wider choice and take
            longer to fetch and embed.
        rate: Most requests to the site per second.
    """

    task: Annotated[None, Suppress] = None
    corpus: Annotated[None, Suppress] = None
    root: Annotated[None, Suppress] = None
    nucleus: Annotated[
        tuple[str, ...], arg(metavar="TITLE [TITLE ...]", help_behavior_hint="(required, but for --resume)")
    ] = ()
    nucleus_size: Annotated[int | None, Suppress] = None  # written down with its usual value
    url: Annotated[str | None, default_is("Wikipedia's")] = None
    language: str = "en"
    queue: Annotated[str | None, default_is("queue in the run's folder")] = None
    workers: int = 4
    first_topics: int = 64
    ahead: int = 64
    rate: float = 10.0

    named: ClassVar[str] = "kgrl research run"

    def __post_init__(self) -> None:
        if self.resume is None and not self.nucleus:
            raise SettingError("a live run starts from titles: --nucleus Mathematics Physics")

    def _titled(self, config: CurriculumConfig) -> CurriculumConfig:
        """Return the configuration as it is: it has no titles of topics that have not arrived."""
        return config

    def check_numbers(self) -> None:
        """Refuse numbers that are out of range, and names that a growing corpus cannot tell the topics of."""
        from kgrl.curriculum.named_topics import is_named

        if isinstance(self.goal, tuple) or any(map(is_named, (self.goal, *self.nucleus))):
            raise SettingError("a live run begins at titles, and its goal is a category; leave file: and about: out")
        check_range(
            ("--workers", self.workers, 0, MOST_COUNT),
            ("--first-topics", self.first_topics, 1, MOST_COUNT),
            ("--ahead", self.ahead, 0, MOST_COUNT),
            ("--rate", self.rate, _LEAST_RATE, MOST_COUNT),
        )
        super().check_numbers()

    @property
    def corpus_name(self) -> str:
        """The name that messages and figures give the growing corpus."""
        return "live"

    @property
    def known_corpus(self) -> dict[str, str]:
        """None: the pages of a live run are in its own folder."""
        return {}

    def placed(self) -> Self:
        """Return the command with absolute paths, so that it means the same in every working folder."""
        folder = self.queue is not None and "://" not in self.queue
        return replace(super().placed(), queue=absolute(str(self.queue)) if folder else self.queue)

    @property
    def usual_facts(self) -> int:
        """None: pages of a site bring no questions."""
        return 0

    def config(self) -> dict[str, Any]:
        """Return everything that the run can be repeated from, ready for YAML."""
        own = {f.name: getattr(self, f.name) for f in fields(ResearchRunCommand)} | super().config()
        return {name: value for name, value in own.items() if name not in {"corpus", "out", "resume", "trust", "json"}}

    @contextmanager
    def curriculum_in(self, folder: Path) -> Iterator[Curriculum]:
        """Give the curriculum; workers run as long as it is used."""
        from kgrl.research.growing import QueueSupply
        from kgrl.research.library import Library
        from kgrl.research.queue import ResearchQueue
        from kgrl.research.worker import worker_process
        from kgrl.retrieval.encoder import Encoder

        encoder, library = Encoder(self.placed_encoder), Library(folder / _PAGES)
        where = self.queue or str(folder / _QUEUE)
        queue = ResearchQueue.open(where)
        # Workers make their page source from this description, on other machines too.
        source = {"source": "mediawiki", "url": self.url, "language": self.language, "rate": self.rate}
        queue.configure({"source": source, "model": self.placed_encoder, "encoder": encoder.fingerprint})
        # A resumed run must not fetch again what its library has; a fresh one has nothing to restore.
        queue.restore(library.arrivals())
        with worker_process(where, self.workers) if self.workers else nullcontext(lambda: False) as broken:
            # Without workers of its own, the run counts on `kgrl research worker`; nothing is broken then.
            yield self._growing(folder, library, QueueSupply(queue, broken))

    def _growing(self, folder: Path, library: Library, supply: Supply) -> GrowingCurriculum:
        """Return the curriculum, on the pages that a resumed run began with or on the first that arrive."""
        from kgrl.research.growing import first_corpus
        from kgrl.runs.run import Run

        if recorded := Run.read_expansions(folder):
            return self.on(library.corpus(recorded[0].arrived or 0), library, supply)
        with progress("first pages", total=self.first_topics) as advance:
            corpus = first_corpus(
                library, supply, self.nucleus, self.first_topics, self.ahead, on_arrival=lambda n: advance(n, "")
            )
        return self.on(corpus, library, supply)

    def on(self, corpus: Corpus, library: Library, supply: Supply) -> GrowingCurriculum:
        """Return the curriculum that begins with a corpus of a library."""
        from kgrl.research.growing import GrowingCurriculum

        # A redirect gives the article another title than the one that was asked for.
        nucleus = tuple(corpus.graph.titles[library.numbers[title]] for title in self.nucleus)
        learner, config = self.make_learner(corpus), replace(self.curriculum_config(), nucleus=nucleus)
        return GrowingCurriculum(corpus, learner, library, supply, self.reward_name, config, self.ahead)


@dataclass(frozen=True)
class ReplayCommand:
    """Repeat a live run from its recorded pages, without network or queue, and compare every expansion.

    If the folder names a file of a reward or an agent that nobody gave as --reward or --agent on this machine before,
    kgrl asks whether its code may run.

    Args:
        folder: Folder of the live run.
        trust: Files whose code may run, though it is the folder that names them.
        json: File for the result, as one JSON object.
    """

    folder: Annotated[Path, Positional, arg(metavar="RUN")]
    trust: Annotated[tuple[Path, ...], default_is("none", "FILE.py [FILE.py ...]")] = ()
    json: JsonFile = None

    def run(self) -> dict[str, Any]:
        """Repeat the run, print how much of it came out the same, and return that.

        Raises:
            KgrlError: If the folder holds no live run, or names a file whose code may not be run.
        """
        from kgrl.research.growing import Recorded
        from kgrl.research.library import Library
        from kgrl.runs.run import Run

        recorded = Run.read_expansions(self.folder)
        if not recorded or recorded[0].arrived is None:
            raise KgrlError(f"{self.folder} holds no live run; see kgrl research run --help")
        command, library = ResearchRunCommand(resume=self.folder).resumed(), Library(self.folder / _PAGES)
        check_code(self.folder / "config.yaml", [command.reward], [command.agent], self.trust)
        curriculum = command.on(library.corpus(recorded[0].arrived), library, Recorded(recorded))
        same = 0
        with progress("replay", total=len(recorded)) as advance:
            for expansion, expected in zip(curriculum.run(command.made_agent), recorded, strict=False):
                # Expansions after the first difference rest on another state, so their comparison would say nothing.
                if expansion != expected:
                    break
                same += 1
                advance(same, expansion.title)
        result = {"folder": str(self.folder), "expansions": len(recorded), "same": same}
        show_facts("replay", [("expansions", len(recorded)), ("the same, from the first", same)])
        return result


@dataclass(frozen=True)
class WorkerCommand:
    """Do the jobs of a research queue until Ctrl-C: fetch, clean, split, deduplicate, embed, index.

    A killed worker loses nothing: others do its jobs again.

    Args:
        where: Folder of a live run or of its queue, or redis://:PASSWORD@HOST:PORT/DB.
        threads: Jobs done at a time.
        json: File for the figures, as one JSON object; written when the worker cannot continue.
    """

    where: Annotated[str, Positional, arg(metavar="QUEUE")]
    threads: int = 2
    json: JsonFile = None

    def run(self) -> dict[str, Any]:
        """Work until interrupted.

        Raises:
            KgrlError: If the queue does not exist, is for another encoder, or cannot be worked on any more.
        """
        from kgrl.research.worker import encoder_of, make_page_source, run_workers

        if self.threads < 1:
            raise SettingError(f"--threads {self.threads}: a worker needs at least one thread")
        queue = _existing(self.where)
        described = queue.settings.get("source")
        if described is None:
            raise KgrlError(
                f"the queue {queue.store.place} does not say where pages come from: start a run on it first"
            )
        source = make_page_source(described)  # one for all threads, so that its rate holds for all of them together
        with run_workers(queue, lambda: source, encoder_of(queue), self.threads) as broken:
            facts = [("queue", queue.store.place), ("pages from", described), ("threads", self.threads)]
            show_facts("working; Ctrl-C ends it", facts)
            broken.wait()
        return {"where": queue.store.place, "threads": self.threads}


@dataclass(frozen=True)
class StatusCommand:
    """Show the topics that are queued, running, done and failed in a research queue.

    Args:
        where: Folder of a live run or of its queue, or redis://:PASSWORD@HOST:PORT/DB.
        json: File for the status, as one JSON object, with every failure.
    """

    where: Annotated[str, Positional, arg(metavar="QUEUE")]
    json: JsonFile = None

    def run(self) -> dict[str, Any]:
        """Print the status and return it.

        Raises:
            KgrlError: If the queue does not exist or cannot be reached.
        """
        queue = _existing(self.where)
        status = queue.status()
        _show_status(status, queue)
        # `asdict` makes a Counter anew from its items, and so counts the items.
        counts = {"queued": dict(status.queued), "failed": len(status.failures)}
        return {"where": queue.store.place, "settings": queue.settings, **asdict(status), **counts}


def _existing(where: str) -> ResearchQueue:
    """Open a queue that exists: opening any other place would make an empty one there."""
    from kgrl.research.queue import ResearchQueue
    from kgrl.research.store import QUEUE_FILE

    if "://" in where:
        return ResearchQueue.open(where)
    for folder in (Path(where), Path(where) / _QUEUE):
        if (folder / QUEUE_FILE).is_file():
            return ResearchQueue.open(folder)
    raise KgrlError(f"there is no queue in {where}; give the folder of a live run, or redis://HOST:PORT/DB")


def _show_status(status: Status, queue: ResearchQueue) -> None:
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
    """Print the first rows of a table; nothing if it has none."""
    if rows:
        more = f", the first {_MOST_SHOWN} of {len(rows):,}" if len(rows) > _MOST_SHOWN else ""
        show_table(title + more, columns, rows[:_MOST_SHOWN])


@dataclass(frozen=True)
class IndexCommand:
    """Build a search index over passages of your own.

    Each file becomes one shard. Embeddings are kept, so an interrupted build continues, and files are added by naming
    them with the old ones.

    Args:
        sources: Passages: JSON Lines (.jsonl, .jsonl.gz, .jsonl.zst), Parquet, folders of these, or Hugging Face
            datasets as hf:NAME:SPLIT.
        out: Folder for the index.
        field: Name of the text in a record.
        encoder: Sentence encoder: static (ships with kgrl), minilm, or another by its Hugging Face name or folder.
        kind: Kind of FAISS index: flat is exact; hnsw and ivfpq are approximate, for millions of passages.
        executor: Place to build shards: serial (this process), process (processes of this machine) or ray.
        workers: Shards that process and ray build at a time.
        on_error: Effect of a record that cannot be used: fail, or skip it.
        rebuild: Start over, even if the folder holds an index.
        json: File for the figures, as one JSON object.
    """

    sources: Annotated[tuple[str, ...], Positional, arg(metavar="SOURCE [SOURCE ...]", help_behavior_hint="(required)")]
    out: Path
    field: str = "text"
    encoder: str = "static"
    kind: Annotated[Literal["flat", "hnsw", "ivfpq"] | None, default_is("by the size of the shard")] = None
    executor: Literal["serial", "process", "ray"] = "serial"
    workers: int = 2
    on_error: Literal["fail", "skip"] = "fail"
    rebuild: bool = False
    json: JsonFile = None

    def run(self) -> dict[str, Any]:
        """Build the index, print its figures and return them.

        Raises:
            KgrlError: If a source cannot be read, or a package is missing.
        """
        from kgrl.retrieval.encoder import Encoder
        from kgrl.retrieval.sharded import build_shards
        from kgrl.retrieval.sources import passage_sources
        from kgrl.system.executors import executors

        sources = passage_sources(self.sources, self.field, self.on_error)
        with progress("shards", total=len(sources)) as advance:
            passages = build_shards(
                sources,
                self.out,
                Encoder(self.encoder),
                self.kind,
                executor=executors.make(self.executor, workers=self.workers),
                rebuild=self.rebuild,
                on_shard=lambda done: advance(done, ""),
            )
        show_facts(str(self.out), [("shards", len(sources)), ("passages", passages)])
        return {"folder": str(self.out), "shards": len(sources), "passages": passages}


@dataclass(frozen=True)
class SearchCommand:
    """Search an index for passages.

    Args:
        folder: Folder of the index.
        query: Text to look for.
        k: Number of passages to print.
        encoder: Encoder that the index was built with.
        hybrid: Search by words (BM25) as well, and fuse both rankings.
        json: File for the passages found, as one JSON object.
    """

    folder: Annotated[Path, Positional, arg(metavar="INDEX")]
    query: Annotated[str, Positional, arg(metavar="QUERY")]
    k: int = 5
    encoder: str = "static"
    hybrid: bool = False
    json: JsonFile = None

    def run(self) -> dict[str, Any]:
        """Search, print the passages found and return them.

        Raises:
            KgrlError: If the folder holds no index, or one that was built with another encoder.
        """
        from kgrl.retrieval.encoder import Encoder
        from kgrl.retrieval.hybrid import Bm25Retriever, reciprocal_rank_fusion
        from kgrl.retrieval.sharded import ShardedRetriever

        encoder = Encoder(self.encoder)
        retriever = ShardedRetriever(self.folder, encoder.fingerprint)
        ids, scores = retriever.search(encoder.encode([self.query]), max(self.k, _FUSED if self.hybrid else 0))
        if self.hybrid:
            by_words = Bm25Retriever(retriever.texts()).search([self.query], _FUSED)[0]
            ids, scores = reciprocal_rank_fusion([ids, by_words], self.k)
        # One query, so one row; an id of -1 stands for a passage that the index does not have.
        rows = [(int(i), float(s)) for i, s in zip(ids[0][: self.k], scores[0], strict=False) if i >= 0]
        found = [{"passage": i, "score": score, "text": retriever.text(i)} for i, score in rows]
        shown = [[i, score, retriever.text(i)[:_SHOWN_CHARACTERS]] for i, score in rows]
        show_table(self.query, ["passage", "score", "text"], shown)
        return {"query": self.query, "found": found}
