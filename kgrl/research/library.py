"""The library: arrivals in their order, kept on disk, and the growing corpus that they make."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split
from kgrl.errors import DataError
from kgrl.graph.topic_graph import IntArray, TopicGraph
from kgrl.research.log import Arrival
from kgrl.retrieval.corpus_index import topic_embeddings
from kgrl.retrieval.faiss_retriever import FaissRetriever
from kgrl.system.files import replacing

__all__ = ["Library"]

_SURROGATE = re.compile(r"[\ud800-\udfff]")


class Library:
    """Arrivals in their order, and the corpus of the first n of them.

    Topics and passages are numbered in the order of arrival and keep their numbers when more arrive. A link is part of
    the graph once both of its ends have arrived.

    Args:
        path: A file with one arrival a line; created if it is missing, and appended to. An incomplete last line is
            dropped.
        name: The name of its corpora.

    Raises:
        DataError: If a line is not an arrival.

    Example:
        >>> import tempfile
        >>> library = Library(Path(tempfile.mkdtemp()) / "pages.jsonl")
        >>> one = np.ones((1, 2), dtype=np.float32)
        >>> library.add([Arrival("Logic", "", ("Set",), (), ("Logic is …",), (0,), one, 0.0)])
        >>> library.add([Arrival("Set", "", (), (), ("A set is …",), (0,), one, 0.0)])
        >>> library
        Library('.../pages.jsonl': 2 topics, 2 passages)
        >>> library.corpus(1).graph.n_links, library.corpus(2).graph.n_links
        (0, 1)
    """

    def __init__(self, path: Path, name: str = "live") -> None:
        self.path, self.name = path, name
        self.numbers: dict[str, int] = {}
        """The topic of each title, aliases included."""
        self.links: list[tuple[str, ...]] = []
        """The titles that each topic links to, whether they have arrived or not."""
        self._titles: list[str] = []
        self._own: set[str] = set()
        self._categories: list[str] = []
        self._fetched: list[float] = []
        self._texts: list[str] = []
        self._splits: list[int] = []
        self._ends = [0]  # end of each topic's passages
        self._vectors: list[NDArray[np.float32]] = []
        self._edges: list[tuple[int, int]] = []
        self._edge_ends = [0]  # number of edges among the first n topics
        self._waiting: defaultdict[str, list[int]] = defaultdict(list)  # topics that link to a title not yet arrived
        for arrival in self._read():
            self._take(arrival)

    def __len__(self) -> int:
        return len(self._titles)

    def __repr__(self) -> str:
        return f"Library({str(self.path)!r}: {len(self):,} topics, {len(self._texts):,} passages)"

    def add(self, arrivals: Iterable[Arrival]) -> None:
        """Append arrivals, first to the file.

        Raises:
            ValueError: If a title has arrived already.
            DataError: If an arrival holds half of a surrogate pair, which no file can hold.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            for arrival in arrivals:
                if arrival.title in self._own:
                    raise ValueError(f"{arrival.title!r} has arrived already")
                line = arrival.to_json()
                if _SURROGATE.search(line):
                    raise DataError(
                        self.path, None, f"{arrival.title!r} holds half of a surrogate pair, which is no text"
                    )
                file.write(line + "\n")
                self._take(arrival)

    def arrivals(self) -> Iterator[Arrival]:
        """Yield all arrivals in order, read from the file."""
        if self.path.exists():
            with self.path.open(encoding="utf-8") as file:
                yield from map(Arrival.from_json, file)

    def corpus(self, topics: int) -> Corpus:
        """Return the corpus of the first `topics` arrivals."""
        edges = np.array(self._edges[: self._edge_ends[topics]], dtype=np.int32).reshape(-1, 2)
        graph = TopicGraph.from_links(self._titles[:topics], edges[:, 0], edges[:, 1], self._categories[:topics])
        passages = self._ends[topics]
        owners = np.repeat(np.arange(topics, dtype=np.int32), np.diff(self._ends[: topics + 1]))
        return Corpus(self.name, graph, self._texts[:passages], owners, self._splits[:passages])

    def index(self, corpus: Corpus) -> tuple[FaissRetriever, NDArray[np.float32]]:
        """Return the retriever of a corpus of this library, and its topic embeddings, `[topics, dimensions]`."""
        # Vectors were computed when topics arrived, of their first train passages.
        vectors = self._vectors[: len(corpus.graph)]
        ids = [corpus.ids_of(topic, Split.TRAIN)[: len(own)] for topic, own in enumerate(vectors)]
        flat, rows = np.concatenate(ids), np.concatenate(vectors)
        return FaissRetriever(flat, rows), topic_embeddings(corpus.topics[flat], rows, len(corpus.graph))

    def fetched(self, topics: IntArray) -> NDArray[np.float64]:
        """Return the time at which each of some topics was fetched, in seconds since 1970."""
        return np.array([self._fetched[topic] for topic in topics])

    def _read(self) -> list[Arrival]:
        """Return the arrivals of the file. An incomplete last line is removed from it."""
        if not self.path.exists():
            return []
        data = self.path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            with replacing(self.path) as temporary:
                temporary.write_bytes(whole)
        arrivals: dict[str, Arrival] = {}
        for number, line in enumerate(whole.split(b"\n")[:-1], 1):
            way_out = f"delete the file from line {number} on: the queue delivers these arrivals again"
            try:
                arrival = Arrival.from_json(line, self.path, number)
                if arrival.title in arrivals:
                    raise DataError(self.path, number, f"the topic {arrival.title!r} is there already")
            except DataError as error:
                raise DataError(self.path, number, f"not an arrival ({error.reason}); {way_out}") from error
            arrivals[arrival.title] = arrival
        return list(arrivals.values())

    def _take(self, arrival: Arrival) -> None:
        number = len(self)
        self._titles.append(arrival.title)
        self._own.add(arrival.title)
        self._categories.append(arrival.category)
        self._fetched.append(arrival.fetched)
        self._texts += arrival.texts
        self._splits += arrival.splits
        self._ends.append(len(self._texts))
        self._vectors.append(arrival.vectors)
        self.links.append(arrival.links)
        for name in (arrival.title, *arrival.aliases):
            self.numbers.setdefault(name, number)
            self._edges += [(source, number) for source in self._waiting.pop(name, ())]
        self.numbers[arrival.title] = number  # a topic's own title wins over another topic's alias
        for target in arrival.links:
            if target in self.numbers:
                self._edges.append((number, self.numbers[target]))
            else:
                self._waiting[target].append(number)
        self._edge_ends.append(len(self._edges))
