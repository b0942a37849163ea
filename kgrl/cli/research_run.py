"""`kgrl research run` and `replay`: a curriculum on a live site, and the same again from what was recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from kgrl.cli.output import progress, show_facts
from kgrl.cli.run import RunCommand
from kgrl.errors import KgrlError, SettingError

if TYPE_CHECKING:
    from kgrl.corpus import Corpus
    from kgrl.curriculum.loop import Curriculum
    from kgrl.research.growing import GrowingCurriculum, Supply
    from kgrl.research.library import Library

__all__ = ["ReplayCommand", "ResearchRun"]

_PAGES, _QUEUE = "pages.jsonl", "queue"


@dataclass(frozen=True)
class ResearchRun(RunCommand):
    """Run one curriculum on a live site: pages are fetched ahead of training, and the topic graph grows with them.

    Args:
        nucleus: Titles to start from.
        url: The API of a MediaWiki site, such as https://en.wikipedia.org/w/api.php; that of Wikipedia by default.
        language: The language of Wikipedia, where no URL is given.
        queue: Where jobs are kept: a folder, or redis://HOST:PORT/DB for workers on other machines; the run's folder by
            default.
        workers: Jobs that a process beside this one does at a time; 0 where `kgrl research worker` does them all.
        first_topics: Topics to wait for before training begins.
        ahead: Topics that are to have arrived before they are learned. More leave the agent more to choose from, and
            cost the time to fetch and embed them.
        rate: Most requests a second.
    """

    task: Annotated[None, tyro.conf.Suppress] = None
    corpus: Annotated[None, tyro.conf.Suppress] = None
    root: Annotated[None, tyro.conf.Suppress] = None
    url: str | None = None
    language: str = "en"
    queue: str | None = None
    workers: int = 4
    first_topics: int = 64
    ahead: int = 64
    rate: float = 10.0

    named: ClassVar[str] = "kgrl research run"

    def __post_init__(self) -> None:
        if self.resume is None and not self.nucleus:
            raise SettingError("a live run starts from titles: --nucleus Mathematics Physics")

    @property
    def corpus_name(self) -> str:
        """The name of the corpus that comes about."""
        return "live"

    def config(self) -> dict[str, Any]:
        """Return everything that the run can be repeated from, ready for YAML."""
        own = {f.name: getattr(self, f.name) for f in fields(ResearchRun)} | super().config()
        return {name: value for name, value in own.items() if name not in {"corpus", "out", "resume", "json"}}

    @contextmanager
    def curriculum_in(self, folder: Path) -> Iterator[Curriculum]:
        """Give the curriculum; workers run as long as it is used."""
        from kgrl.research.growing import QueueSupply
        from kgrl.research.library import Library
        from kgrl.research.queue import ResearchQueue
        from kgrl.research.worker import worker_process
        from kgrl.retrieval.encoder import Encoder

        encoder, library = Encoder(), Library(folder / _PAGES)
        where = self.queue or str(folder / _QUEUE)
        queue = ResearchQueue.open(where)
        queue.configure({"source": self._source(), "encoder": encoder.fingerprint})
        queue.restore(library.arrivals())
        with worker_process(where, self.workers) if self.workers else nullcontext(lambda: False) as broken:
            yield self._growing(folder, library, QueueSupply(queue, broken))

    def _growing(self, folder: Path, library: Library, supply: Supply) -> GrowingCurriculum:
        """The curriculum, on the pages it began with or on the first that arrive."""
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

        # What was asked for may be another name of what arrived.
        nucleus = tuple(corpus.graph.titles[library.numbers[title]] for title in self.nucleus)
        learner, config = self.make_learner(corpus), replace(self.curriculum_config(), nucleus=nucleus)
        return GrowingCurriculum(corpus, learner, library, supply, self.reward_name, config, self.ahead)

    def _source(self) -> dict[str, Any]:
        return {"source": "mediawiki", "url": self.url, "language": self.language, "rate": self.rate}


@dataclass(frozen=True)
class ReplayCommand:
    """Repeat a live run from what it recorded, without network or queue, and compare every expansion.

    Args:
        folder: The run's folder.
        json: File to write the result to, as one JSON object.
    """

    folder: tyro.conf.Positional[Path]
    json: Path | None = None

    def run(self) -> dict[str, Any]:
        """Repeat the run, print how much of it came out the same, and return that.

        Raises:
            KgrlError: If the folder holds no live run.
        """
        from kgrl.agents.make import make_agent
        from kgrl.research.growing import Recorded
        from kgrl.research.library import Library
        from kgrl.runs.run import Run

        recorded = Run.read_expansions(self.folder)
        if not recorded or recorded[0].arrived is None:
            raise KgrlError(f"{self.folder} holds no live run; see kgrl research run --help")
        command, library = ResearchRun(resume=self.folder).resumed(), Library(self.folder / _PAGES)
        curriculum = command.on(library.corpus(recorded[0].arrived), library, Recorded(recorded))
        same = 0
        with progress("replay", total=len(recorded)) as advance:
            for expansion, expected in zip(curriculum.run(make_agent(command.agent)), recorded, strict=False):
                if expansion != expected:
                    break
                same += 1
                advance(same, expansion.title)
        result = {"folder": str(self.folder), "expansions": len(recorded), "same": same}
        show_facts("replay", [("expansions", len(recorded)), ("the same, from the first", same)])
        return result
