"""`kgrl graph`: describe a topic graph and export it."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from kgrl.cli.arguments import JsonFile, default_is
from kgrl.cli.output import show_facts, show_table
from kgrl.errors import KgrlError
from kgrl.system.display import title_text

if TYPE_CHECKING:
    from kgrl.corpus import Corpus
    from kgrl.graph.topic_graph import TopicGraph

__all__ = ["EXPORTS", "GraphCommand", "export_graph", "graph_figures"]


@dataclass(frozen=True)
class GraphCommand:
    """Describe a corpus's topic graph: degrees, components, categories and nucleus; export it to a file.

    Args:
        corpus: Corpus: a name that `kgrl info` lists, or a folder.
        root: Folder of the source files of a corpus that kgrl does not bring or download.
        export: File for the graph. Its ending is the format: .tsv (source TAB target), .graphml or .json (the node-link
            format that networkx reads).
        nucleus: Score that chooses the nucleus: pagerank or k-core.
        nucleus_size: Topics of the nucleus.
        goal: Category to choose the nucleus in.
        json: File for the figures, as one JSON object.
    """

    corpus: str = "vital"
    root: Annotated[Path | None, default_is("none", "FOLDER")] = None
    export: Annotated[Path | None, default_is("no export", "FILE")] = None
    nucleus: str = "pagerank"
    nucleus_size: int = 8
    goal: Annotated[str | None, default_is("all topics")] = None
    json: JsonFile = None

    def run(self) -> dict[str, Any]:
        """Print the figures, write the export, return the figures.

        Raises:
            KgrlError: If the corpus, the goal or the export's ending is not known.
        """
        # An unknown ending is refused before the corpus is read, which can take minutes the first time.
        write = _writer(self.export) if self.export else None
        from kgrl.data.load import load_corpus

        corpus = load_corpus(self.corpus, root=self.root)
        figures = {**graph_figures(corpus.graph), "nucleus": self._nucleus(corpus)}
        _show(self.corpus, figures)
        if write and self.export:
            write(corpus.graph, self.export)
            show_facts("", [("written", self.export)])
        return {"corpus": self.corpus, **figures, "export": str(self.export) if self.export else None}

    def _nucleus(self, corpus: Corpus) -> list[str]:
        from kgrl.corpus import Split
        from kgrl.graph.nucleus import choose_nucleus

        graph = corpus.graph
        goal = None if self.goal is None else graph.in_category(self.goal)
        # Only topics with text, as in a curriculum: the nucleus is what is learned first.
        topics = choose_nucleus(graph, self.nucleus, self.nucleus_size, goal, corpus.has(Split.TRAIN))
        return [graph.titles[topic] for topic in topics]


def graph_figures(graph: TopicGraph) -> dict[str, Any]:
    """Return the figures of a graph, ready for JSON.

    Degrees count undirected neighbours; components ignore direction.

    Example:
        >>> from kgrl.graph import TopicGraph
        >>> figures = graph_figures(TopicGraph.from_links(["Logic", "Set", "Mars"], [0], [1]))
        >>> figures["topics"], figures["links"], figures["degree"]["max"], figures["components"]["count"]
        (3, 1, 1, 2)
    """
    import numpy as np

    if not len(graph):
        raise KgrlError("the graph has no topics")
    largest = int(np.bincount(graph.components).max())
    needed = len(graph.prerequisites()[0])
    return {
        "topics": len(graph),
        "links": graph.n_links,
        **({"prerequisites": needed} if needed else {}),
        "degree": {
            "mean": float(graph.degree.mean()),
            "median": float(np.median(graph.degree)),
            "max": int(graph.degree.max()),
            "max_title": graph.titles[int(graph.degree.argmax())],
        },
        "components": {"count": int(graph.components.max()) + 1, "largest_share": largest / len(graph)},
        "categories": dict(Counter(category for category in graph.categories if category).most_common()),
    }


def export_graph(graph: TopicGraph, path: Path) -> None:
    """Write a graph to a file in the format its ending names, atomically.

    Args:
        graph: The topic graph.
        path: The file: `.tsv` (source TAB target, by title, and the kind of prerequisites), `.graphml` or `.json`
            (node-link, as networkx reads it).

    Raises:
        KgrlError: If the ending is another one, or a title or a category has a character that the format cannot hold.
    """
    _writer(path)(graph, path)


def _writer(path: Path) -> Callable[[TopicGraph, Path], None]:
    """Return the function that writes a graph in the format of a file's ending, after a check of its titles."""
    write = EXPORTS.get(path.suffix.lower())
    if write is None:
        raise KgrlError(f"cannot export to {str(path)!r}: the ending must be one of {', '.join(EXPORTS)}")

    def checked(graph: TopicGraph, path: Path) -> None:
        _check_texts("topic", graph.titles, path.suffix.lower())
        if write is not _write_tsv:  # which has no categories
            _check_texts("category", graph.category_names, path.suffix.lower())
        write(graph, path)

    return checked


def _check_texts(what: str, texts: Iterable[str], ending: str) -> None:
    """Refuse a text with a character that a format cannot hold."""
    for text in texts:
        if found := _FORBIDDEN[ending].search(text):
            kind = "control character" if unicodedata.category(found[0]) == "Cc" else "character"
            named = f"{kind} U+{ord(found[0]):04X}"
            raise KgrlError(f"cannot export the {what} {title_text(text)}: {ending} files cannot hold its {named}")


def _write_tsv(graph: TopicGraph, path: Path) -> None:
    from kgrl.graph.topic_graph import PREREQUISITE
    from kgrl.system.files import write_text

    # As a corpus folder has them: prerequisites have their kind behind them, other links nothing.
    needed = set(zip(*(ends.tolist() for ends in graph.prerequisites()), strict=True))
    lines = (
        f"{graph.titles[a]}\t{graph.titles[b]}" + f"\t{PREREQUISITE}" * ((a, b) in needed)
        for a, b in zip(*(ends.tolist() for ends in graph.links()), strict=True)
    )
    write_text(path, "".join(f"{line}\n" for line in lines))


def _write_graphml(graph: TopicGraph, path: Path) -> None:
    import networkx as nx

    from kgrl.system.files import replacing

    with replacing(path) as temporary:
        # The plain writer: networkx would use lxml where it is installed, whose output differs.
        nx.write_graphml_xml(graph.to_networkx(), temporary)


def _write_node_link(graph: TopicGraph, path: Path) -> None:
    import networkx as nx

    from kgrl.system.files import write_json

    write_json(path, nx.node_link_data(graph.to_networkx(), edges="edges"))


_FORBIDDEN = {
    # Tabs and what readers take for ends of lines.
    ".tsv": re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"),
    # What is no `Char` of XML 1.0, and control characters that parsers change or refuse.
    ".graphml": re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]"),
    ".json": re.compile(r"[\ud800-\udfff]"),
}
"""Characters that a format cannot hold."""

EXPORTS: dict[str, Callable[[TopicGraph, Path], None]] = {
    ".tsv": _write_tsv,
    ".graphml": _write_graphml,
    ".json": _write_node_link,
}
"""The writer of each file ending."""


def _show(name: str, figures: dict[str, Any]) -> None:
    degree, components = figures["degree"], figures["components"]
    facts = [
        ("topics", figures["topics"]),
        ("links", figures["links"]),
        *((("prerequisites", figures["prerequisites"]),) if "prerequisites" in figures else ()),
        ("mean degree", degree["mean"]),
        ("median degree", degree["median"]),
        ("largest degree", f"{degree['max']:,} ({degree['max_title']})"),
        ("components", components["count"]),
        ("largest component", f"{components['largest_share']:.1%} of the topics"),
        ("nucleus", ", ".join(figures["nucleus"])),
    ]
    show_facts(f"Topic graph of {name}", facts)
    if figures["categories"]:
        show_table("Categories", ["category", "topics"], list(figures["categories"].items()))
