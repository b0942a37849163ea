"""The topic graph: topics and links, in compressed sparse row form.

`TopicGraph` is immutable; the state of a curriculum on it is a `Frontier`. Neither knows about text, learners or
rewards.
"""

from __future__ import annotations

import hashlib
import itertools
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kgrl.errors import DataError, UnknownNameError
from kgrl.graph.circles import circle_text, circles
from kgrl.graph.rows import Rows, both_ways, compressed
from kgrl.graph.storage import (
    StoredCategories,
    StoredStrings,
    StoredTitles,
    pack_strings,
    pack_titles,
    read_arrays,
    write_arrays,
)
from kgrl.system.display import count_text, html_table

if TYPE_CHECKING:
    import networkx as nx
    from scipy import sparse

__all__ = ["PREREQUISITE", "IntArray", "TopicGraph"]

IntArray = NDArray[np.int32]

PREREQUISITE = "prerequisite"
"""The kind of links whose source is needed before their target, as files name it."""
_TITLE_ARRAYS = ("titles", "title_starts", "title_hashes", "title_order")
_MOST_SHOWN = 8
"""Topics and categories that a notebook shows of a graph."""


class TopicGraph:
    """Topics and the links between them.

    Links are directed (the source mentions the target). The frontier of a curriculum ignores the direction, so most
    methods are about the undirected neighbourhood. Links that are prerequisites keep it: the source is needed first.

    Args:
        titles: One title for each topic, without repeats.
        indptr: Row starts of the compressed sparse rows, int64, shape `[topics + 1]`.
        indices: Link targets, int32, shape `[links]`, ascending within a row and without repeats or self-links.
        categories: One category name for each topic, `""` for topics without one.
        places: Number of words in the source's text before it first mentions the target, -1 if it does not, int32
            `[links]`; None if the texts were not searched. Readers click early links more than late ones.
        prerequisite: True for links whose source is needed before their target, bool `[links]`; None if there are none.
            `with_prerequisites` makes it, and refuses circles.

    Raises:
        ValueError: If the lengths of the arguments disagree, or a title occurs twice.

    Example:
        >>> graph = TopicGraph.from_links(["Logic", "Set", "Number"], [0, 0], [1, 2])
        >>> graph
        TopicGraph(3 topics, 2 links)
        >>> graph.out(0).tolist(), graph.neighbours(1).tolist()
        ([1, 2], [0])
    """

    titles: Sequence[str]
    categories: Sequence[str]

    def __init__(
        self,
        titles: Sequence[str],
        indptr: NDArray[np.int64],
        indices: IntArray,
        categories: Sequence[str] | None = None,
        places: IntArray | None = None,
        prerequisite: NDArray[np.bool_] | None = None,
    ) -> None:
        # Stored titles are not checked again, which would decode them all; they find titles themselves.
        stored = isinstance(titles, StoredTitles)
        self.titles = titles if stored else tuple(titles)
        self.indptr = indptr
        self.indices = indices
        self.places = places
        self.prerequisite = prerequisite
        if isinstance(categories, StoredCategories):
            self.categories = categories
        else:
            self.categories = tuple(categories) if categories is not None else ("",) * len(self.titles)
        if len(self.indptr) != len(self.titles) + 1 or len(self.categories) != len(self.titles):
            raise ValueError(
                f"{len(self.titles)} titles need {len(self.titles) + 1} row starts and as many categories as titles, "
                f"not {len(self.indptr)} and {len(self.categories)}"
            )
        if places is not None and len(places) != len(indices):
            raise ValueError(f"{len(indices)} links need as many places, not {len(places)}")
        if prerequisite is not None and len(prerequisite) != len(indices):
            raise ValueError(f"{len(indices)} links need as many kinds, not {len(prerequisite)}")
        self._index = {} if stored else {title: topic for topic, title in enumerate(self.titles)}
        if not stored and len(self._index) != len(self.titles):
            repeated = next(t for i, t in enumerate(self.titles) if self._index[t] != i)
            raise ValueError(f"the title {repeated!r} stands for two topics")

    @classmethod
    def from_links(
        cls, titles: Sequence[str], sources: ArrayLike, targets: ArrayLike, categories: Sequence[str] | None = None
    ) -> TopicGraph:
        """Build a graph from link end points; repeats and self-links are dropped.

        Args:
            titles: One title for each topic.
            sources: Numbers of the topics that links start from, shape `[links]`.
            targets: Numbers of the topics that links lead to, shape `[links]`.
            categories: One category name for each topic; none if None.

        Raises:
            ValueError: If an end point is not a topic.
        """
        return cls(titles, *compressed(len(titles), sources, targets), categories)

    def save(self, folder: Path) -> None:
        """Write the graph to a folder that `open` maps into memory.

        Args:
            folder: The folder; must not exist or be empty.

        Raises:
            FileExistsError: If the folder is not empty; nothing is overwritten.
        """
        (indptr, indices), (names, codes) = self.undirected, self._coded
        packed, starts = pack_strings(names)
        arrays: dict[str, NDArray[Any]] = {"indptr": self.indptr, "indices": self.indices}
        arrays |= {"both_indptr": indptr, "both_indices": indices, "components": self.components}
        arrays |= {"categories": codes, "category_names": packed, "category_starts": starts, **pack_titles(self.titles)}
        if self.places is not None:
            arrays["places"] = self.places
        if self.prerequisite is not None:
            arrays["prerequisite"] = self.prerequisite
        write_arrays(folder, arrays, {"topics": len(self), "links": self.n_links, "fingerprint": self.fingerprint})

    @classmethod
    def open(cls, folder: Path, *, verify: bool = True) -> TopicGraph:
        """Open a saved graph without reading it: only the parts that are used take memory.

        Titles and categories are decoded on access, and the undirected rows need not be computed again.

        Args:
            folder: A folder that `save` wrote.
            verify: Read the files once to compare their hashes, which takes seconds for millions of topics.

        Raises:
            MissingDataError: If the folder holds no topic graph.
            DataError: If its format is not known, or a file is missing or was changed.

        Example:
            >>> import tempfile
            >>> folder = Path(tempfile.mkdtemp()) / "three"
            >>> TopicGraph.from_links(["Logic", "Set", "Number"], [0, 0], [1, 2]).save(folder)
            >>> graph = TopicGraph.open(folder)
            >>> graph.index("Number"), graph.neighbours(2).tolist()
            (2, [0])
        """
        arrays, about = read_arrays(folder, verify=verify)
        try:
            titles = StoredTitles(**{name: arrays[name] for name in _TITLE_ARRAYS})
            names = StoredStrings(arrays["category_names"], arrays["category_starts"])
            categories = StoredCategories(tuple(names), arrays["categories"])
            kinds = arrays.get("places"), arrays.get("prerequisite")
            graph = cls(titles, arrays["indptr"], arrays["indices"], categories, *kinds)
            # Set in place of what the cached properties would compute.
            graph.undirected = arrays["both_indptr"], arrays["both_indices"]
            if "components" in arrays:  # graphs that earlier versions saved lack them
                graph.components = arrays["components"]
            graph.fingerprint = about["fingerprint"]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            why = f"lacks {error} of" if isinstance(error, KeyError) else f"does not hold ({error})"
            raise DataError(folder, None, f"{why} a stored topic graph; save the graph anew") from error
        return graph

    @classmethod
    def from_networkx(cls, graph: nx.Graph[Any]) -> TopicGraph:
        """Build a graph from networkx: nodes become titles, the node attribute `category` is kept.

        A category that is missing, None or NaN, as data frames have it, is none. The edges of an undirected graph
        become links in both directions. Edges whose attribute `kind` is `"prerequisite"` are prerequisites.

        Raises:
            ValueError: If prerequisites go round in a circle.

        Example:
            >>> import networkx as nx
            >>> TopicGraph.from_networkx(nx.path_graph(["a", "b", "c"])).degree.tolist()
            [1, 2, 1]
        """
        titles = [str(node) for node in graph]
        number = {node: topic for topic, node in enumerate(graph)}
        directed = graph if graph.is_directed() else graph.to_directed()
        ends = np.array([(number[a], number[b]) for a, b in directed.edges()], dtype=np.int64).reshape(-1, 2)
        given = [category for _, category in graph.nodes(data="category")]
        # NaN is the only value that differs from itself.
        categories = ["" if category is None or category != category else str(category) for category in given]
        needed = [kind == PREREQUISITE for _, _, kind in directed.edges(data="kind")]
        return cls.from_links(titles, ends[:, 0], ends[:, 1], categories).with_prerequisites(*ends[needed].T)

    def to_networkx(self) -> nx.DiGraph[str]:
        """Return the graph as a networkx `DiGraph` of titles, with the node attribute `category`.

        Edges that are prerequisites have the attribute `kind`.
        """
        import networkx as nx  # here and elsewhere in this room, since it takes a tenth of a second

        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from((t, {"category": c}) for t, c in zip(self.titles, self.categories, strict=True))
        sources, targets = self.links()
        graph.add_edges_from((self.titles[a], self.titles[b]) for a, b in zip(sources, targets, strict=True))
        needed = zip(*self.prerequisites(), strict=True)
        graph.add_edges_from(((self.titles[a], self.titles[b]) for a, b in needed), kind=PREREQUISITE)
        return graph

    def with_places(self, places: IntArray) -> TopicGraph:
        """Return the same graph with the places of its links; see the class's arguments."""
        return TopicGraph(self.titles, self.indptr, self.indices, self.categories, places, self.prerequisite)

    def with_prerequisites(self, sources: ArrayLike, targets: ArrayLike) -> TopicGraph:
        """Return the same graph in which exactly some of the links are prerequisites.

        Args:
            sources: Topics that are needed first, shape `[prerequisites]`.
            targets: The topics that need them, shape `[prerequisites]`.

        Raises:
            ValueError: If two of these topics are not linked in this direction, or prerequisites go round in a circle;
                the message names the titles.

        Example:
            >>> graph = TopicGraph.from_links(["Set", "Number", "Logic"], [0, 0], [1, 2])
            >>> [ends.tolist() for ends in graph.with_prerequisites([0], [1]).prerequisites()]
            [[0], [1]]
        """
        from_, to = np.asarray(sources, dtype=np.int32), np.asarray(targets, dtype=np.int32)
        if not len(from_):
            return TopicGraph(self.titles, self.indptr, self.indices, self.categories, self.places)
        if (circle := next(circles(zip(from_.tolist(), to.tolist(), strict=True)), None)) is not None:
            raise ValueError(f"prerequisites go round in a circle: {circle_text(self.titles, circle)}")
        at = self.positions(from_, to)
        if (at < 0).any():
            one, other = (self.titles[ends[int(np.argmin(at))]] for ends in (from_, to))
            raise ValueError(f"{one!r} cannot be a prerequisite of {other!r}: no link leads from one to the other")
        needed = np.zeros(self.n_links, dtype=bool)
        needed[at] = True
        return TopicGraph(self.titles, self.indptr, self.indices, self.categories, self.places, needed)

    def __len__(self) -> int:
        return len(self.titles)

    def __repr__(self) -> str:
        return f"TopicGraph({count_text(len(self), 'topic')}, {count_text(self.n_links, 'link')})"

    def _repr_html_(self) -> str:
        """Figures, the topics with most links and the largest categories; notebooks call this method."""
        figures = [
            ["topics", len(self)],
            ["links", self.n_links],
            ["neighbours of a topic, mean", float(self.degree.mean()) if len(self) else 0.0],
            ["topics without links", int(np.count_nonzero(self.degree == 0))],
            ["categories", len(self.category_names)],
        ]
        tables = [html_table("Topic graph", ["", ""], figures)]
        most = np.argsort(-self.degree, kind="stable")[:_MOST_SHOWN].tolist()
        linked = [[self.titles[topic], self.categories[topic], int(self.degree[topic])] for topic in most]
        tables.append(html_table("Topics with most links", ["title", "category", "neighbours"], linked))
        if self.category_names:
            names, codes = self._coded
            sizes = np.bincount(codes, minlength=len(names))
            largest = np.argsort(-sizes, kind="stable")[:_MOST_SHOWN].tolist()
            rows = [[names[code] or "(none)", int(sizes[code])] for code in largest]
            tables.append(html_table("Largest categories", ["category", "topics"], rows))
        return f'<div style="display:flex;gap:2em;align-items:flex-start">{"".join(tables)}</div>'

    @property
    def n_links(self) -> int:
        """Number of directed links."""
        return len(self.indices)

    def links(self) -> tuple[IntArray, IntArray]:
        """Return the sources and targets of all links, each int32 of shape `[links]`."""
        sources = np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.indptr))
        return sources, self.indices

    def prerequisites(self) -> tuple[IntArray, IntArray]:
        """Return the sources and targets of the links that are prerequisites, each int32; empty if there are none."""
        if self.prerequisite is None:
            return np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int32)
        at = np.flatnonzero(self.prerequisite)
        sources = (np.searchsorted(self.indptr, at, side="right") - 1).astype(np.int32)
        return sources, self.indices[at]

    def out(self, topic: int) -> IntArray:
        """Return the topics that `topic` links to, ascending, as a view."""
        return self.indices[self.indptr[topic] : self.indptr[topic + 1]]

    def positions(self, sources: ArrayLike, targets: ArrayLike) -> NDArray[np.int64]:
        """Return the positions of links in `indices`, -1 for pairs of topics that are not linked.

        Args:
            sources: Topics that the links start from, shape `[n]`.
            targets: Topics that the links lead to, shape `[n]`.

        Returns:
            Positions, int64 of shape `[n]`.

        Example:
            >>> graph = TopicGraph.from_links(["a", "b", "c"], [0, 0, 2], [1, 2, 0])
            >>> graph.positions([0, 2, 1], [2, 0, 0]).tolist()
            [1, 2, -1]
        """
        from_, to = np.asarray(sources, dtype=np.int64), np.asarray(targets, dtype=np.int64)
        low, end = self.indptr[from_], self.indptr[from_ + 1]
        high = end.copy()
        # A binary search in all n rows at once, which are ascending; it needs no memory for other links.
        while (unfinished := low < high).any():
            middle = (low + high) // 2
            below = np.zeros(len(low), dtype=bool)
            below[unfinished] = self.indices[middle[unfinished]] < to[unfinished]
            low, high = np.where(below, middle + 1, low), np.where(below | ~unfinished, high, middle)
        found = low < end
        found[found] = self.indices[low[found]] == to[found]
        return np.where(found, low, -1)

    def neighbours(self, topic: int) -> IntArray:
        """Return the topics linked with `topic` in either direction, ascending, as a view."""
        indptr, indices = self.undirected
        return indices[indptr[topic] : indptr[topic + 1]]

    @cached_property
    def adjacency(self) -> sparse.csr_array:
        """The undirected adjacency matrix, float32 of ones, shape `[topics, topics]`."""
        from scipy import sparse  # here, since runs on opened graphs do without

        indptr, indices = self.undirected
        ones = np.ones(len(indices), dtype=np.float32)
        return sparse.csr_array((ones, indices, indptr), shape=(len(self), len(self)))

    @cached_property
    def degree(self) -> IntArray:
        """Number of undirected neighbours of each topic, int32 of shape `[topics]`."""
        return np.diff(self.undirected[0]).astype(np.int32)

    @cached_property
    def undirected(self) -> Rows:
        """Row starts, int64 `[topics + 1]`, and the neighbours of each topic, ascending, int32."""
        return both_ways((self.indptr, self.indices))

    @cached_property
    def components(self) -> IntArray:
        """Number of each topic's connected component, ignoring direction, int32 of shape `[topics]`."""
        from scipy import sparse

        labels: IntArray = sparse.csgraph.connected_components(self.adjacency, directed=False)[1].astype(np.int32)
        return labels

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over titles, categories, links and prerequisites, the same on every machine."""
        digest = hashlib.sha256()
        for at, name in enumerate(itertools.chain(self.titles, self.categories)):
            digest.update(f"\0{name}".encode() if at else name.encode())
        digest.update(np.ascontiguousarray(self.indptr).data)
        digest.update(np.ascontiguousarray(self.indices).data)
        if self.prerequisite is not None:  # graphs without any keep the fingerprint that they always had
            digest.update(b"prerequisites")
            digest.update(np.ascontiguousarray(self.prerequisite).data)
        return digest.hexdigest()

    def index(self, title: str) -> int:
        """Return the number of the topic with this title; accents may be composed or not.

        Raises:
            UnknownNameError: If there is none; the message suggests the nearest title.
        """
        if isinstance(self.titles, StoredTitles):
            for spelling in (title, unicodedata.normalize("NFC", title)):
                if (stored := self.titles.find(spelling)) is not None:
                    return stored
            raise UnknownNameError("topic", title, self.titles.suggestions(title))
        topic = self._index.get(title)
        if topic is None:
            topic = self._composed.get(unicodedata.normalize("NFC", title))
        if topic is None:
            raise UnknownNameError("topic", title, self.titles)
        return topic

    @cached_property
    def _composed(self) -> dict[str, int]:
        """Topics by their titles with composed accents; terminals and file systems may write them decomposed."""
        return {unicodedata.normalize("NFC", title): topic for title, topic in self._index.items()}

    @cached_property
    def category_names(self) -> tuple[str, ...]:
        """The names of categories, sorted, without `""`."""
        return tuple(name for name in self._coded[0] if name)

    @cached_property
    def _coded(self) -> tuple[tuple[str, ...], IntArray]:
        """The names of categories, sorted, and the number of each topic's name, int32 `[topics]`."""
        if isinstance(self.categories, StoredCategories):
            return self.categories.names, self.categories.codes
        names = tuple(sorted(set(self.categories)))
        number = {name: code for code, name in enumerate(names)}
        return names, np.fromiter((number[name] for name in self.categories), dtype=np.int32, count=len(self))

    def in_category(self, name: str) -> IntArray:
        """Return the topics of a category, ascending, int32.

        Raises:
            UnknownNameError: If no topic has that category; the message lists the categories.
        """
        if name not in self.category_names:
            raise UnknownNameError("category", name, self.category_names)
        names, codes = self._coded
        return np.flatnonzero(codes == names.index(name)).astype(np.int32)
