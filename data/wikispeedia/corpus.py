"""Wikispeedia: 4,604 articles of the 2007 Wikipedia Selection for schools, with their text and real links.

Read from SNAP's two archives. Titles are decoded ("Émile Zola"). The archives' own names ("%C3%89mile_Zola"), in which
games were recorded, are `raw_name(title)`. Cite West and Leskovec (WWW 2012), and West, Pineau and Precup (IJCAI 2009).
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path

from kgrl.corpus import Corpus
from kgrl.data.processed import processed
from kgrl.data.reading import OnError, Problems, decoded_lines
from kgrl.data.text.build import build_corpus, with_places
from kgrl.data.text.plaintext import clean_article
from kgrl.data.wikispeedia.archives import archives, members
from kgrl.errors import DataError
from kgrl.graph.topic_graph import TopicGraph
from kgrl.system.files import file_digest

__all__ = ["COUNTS", "load_wikispeedia", "raw_name", "read_graph", "title_of"]

COUNTS = (4604, 119_882)
"""Articles and links of the published archives. No checksum is published, so these are checked."""


def load_wikispeedia(
    root: str | Path | None = None, *, on_error: OnError = "fail", counts: tuple[int, int] = COUNTS
) -> Corpus:
    """Load Wikispeedia. An article without text stays in the graph and is never trained on.

    Args:
        root: Folder of the two archives; by default `$KGRL_DATA/wikispeedia`, else they are downloaded.
        on_error: What to do with a record that cannot be used: `"fail"`, or `"skip"` and log how many were skipped.
        counts: Articles and links that the archives must hold.

    Raises:
        MissingDataError: If `root` lacks an archive, or it cannot be downloaded.
        DataError: If a record cannot be used, or the counts are not as expected.
    """
    graph_archive, text_archive = archives(root)

    def build() -> Corpus:
        """Read graph and texts, for the first call on these archives."""
        graph = _read_graph(graph_archive, on_error, counts)
        documents = _read_documents(text_archive, graph, on_error)
        return with_places(build_corpus("wikispeedia", graph.titles, graph.categories, documents, *graph.links()))

    content = [file_digest(graph_archive), file_digest(text_archive), on_error, str(counts)]
    return processed("wikispeedia", content, build)


def read_graph(root: str | Path | None = None) -> TopicGraph:
    """Read articles, links and categories without the texts; arguments and errors as for `load_wikispeedia`."""
    return _read_graph(archives(root)[0], "fail", COUNTS)


def raw_name(title: str) -> str:
    """Return an article's name as the archives write it.

    Example:
        >>> raw_name("Émile Zola"), title_of("%C3%89mile_Zola")
        ('%C3%89mile_Zola', 'Émile Zola')
    """
    return urllib.parse.quote(title.replace(" ", "_"), safe="")


def title_of(raw: str) -> str:
    """Return the title of an article from its name in the archives.

    Raises:
        ValueError: If the name stands for bytes that are not UTF-8, or for no line of text; the message continues it.
    """
    try:
        title = urllib.parse.unquote(raw, errors="strict").replace("_", " ")
    except UnicodeDecodeError as error:
        raise ValueError("stands for bytes that are not UTF-8") from error
    if not title.strip() or "\t" in title or title.splitlines() != [title]:
        raise ValueError("does not stand for one line of text without tabs")
    return title


def _read_graph(archive: Path, on_error: OnError, counts: tuple[int, int]) -> TopicGraph:
    problems = Problems(archive, on_error)
    tables = _tables(archive, ("articles.tsv", "categories.tsv", "links.tsv"))
    titles: dict[str, str] = {}  # by title, the name in the archive
    for line, (raw,) in _rows(archive, tables, "articles.tsv", 1, problems):
        try:
            title = title_of(raw)
        except ValueError as error:
            problems.report(archive / "articles.tsv", line, "malformed name", f"the name {raw!r} {error}")
            continue
        if title in titles:
            problems.report(archive / "articles.tsv", line, "duplicate topic", f"the article {raw!r} is there already")
        titles.setdefault(title, raw)
    number = {raw: topic for topic, raw in enumerate(titles.values())}
    categories = [""] * len(number)
    sources, targets = [], []
    for line, (raw, subject) in _rows(archive, tables, "categories.tsv", 2, problems):
        if raw not in number:
            problems.report(
                archive / "categories.tsv", line, "category of an unknown topic", f"{raw!r} is not an article"
            )
        elif not categories[number[raw]]:  # the first of an article's rows counts
            # "subject.People.Writers" becomes "People": the top level has enough topics in each category.
            categories[number[raw]] = subject.removeprefix("subject.").split(".")[0].replace("_", " ")
    for line, ends in _rows(archive, tables, "links.tsv", 2, problems):
        if unknown := [end for end in ends if end not in number]:
            problems.report(archive / "links.tsv", line, "dangling link", f"{unknown[0]!r} is not an article")
        else:
            sources.append(number[ends[0]])
            targets.append(number[ends[1]])
    problems.log()
    if (len(number), len(sources)) != counts:
        found = f"holds {len(number)} articles and {len(sources)} links"
        raise DataError(archive, None, f"{found}, not {counts[0]} and {counts[1]}")
    return TopicGraph.from_links(list(titles), sources, targets, categories)


def _tables(archive: Path, wanted: Sequence[str]) -> dict[str, bytes]:
    """Return the content of some files of an archive, by name without the folder."""
    tables: dict[str, bytes] = {}
    for path, data in members(archive):
        name = Path(path).name
        if name in wanted:
            if name in tables:
                raise DataError(archive, None, f"holds {name} twice")
            tables[name] = data
    if missing := [name for name in wanted if name not in tables]:
        raise DataError(archive, None, f"does not hold {', '.join(missing)}")
    return tables


def _read_documents(archive: Path, graph: TopicGraph, on_error: OnError) -> Sequence[str]:
    """Read and clean the text of each article, `""` where the archive has none."""
    problems = Problems(archive, on_error)
    number = {f"{raw_name(title)}.txt": topic for topic, title in enumerate(graph.titles)}
    documents = [""] * len(graph)
    read: set[int] = set()
    for name, data in members(archive):
        topic = number.get(Path(name).name)
        if topic is None:
            continue  # not the text of an article
        if topic in read:
            problems.report(archive, None, "second text", f"holds two texts of {graph.titles[topic]!r}")
            continue
        read.add(topic)
        try:
            documents[topic] = clean_article(data.decode("utf-8"))
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            problems.report(archive / name, line, "invalid UTF-8", "invalid UTF-8")
    problems.log()
    if not any(documents):
        raise DataError(archive, None, "holds no text of any article")
    return documents


def _rows(
    archive: Path, tables: dict[str, bytes], name: str, columns: int, problems: Problems
) -> Iterator[tuple[int, list[str]]]:
    """Yield the line numbers and cells of a table, without its comments."""
    for line, text in decoded_lines(archive / name, tables[name].split(b"\n"), problems):
        cells = text.split("\t")
        if text.startswith("#"):
            continue
        if len(cells) == columns:
            yield line, cells
        else:
            problems.report(archive / name, line, "malformed line", f"has {len(cells)} columns, not {columns}")
