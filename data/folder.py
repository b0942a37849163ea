"""Corpora as folders of plain files: bring your own graph and text, or export one.

A corpus folder holds

- `topics.jsonl`: one topic a line, `{"title": …}`. `"category": …` is optional. `"textless": true` marks a topic that
  is meant to have no text; it stays in the graph and is never trained on.
- `links.tsv`: one link a line, source and target titles with a tab between them. A third column is optional, on all
  lines or on none: the number of words of the source's text before it first mentions the target, -1 if it does not.
- `passages.jsonl`, or `passages.parquet` with the same columns: one passage a line, `{"topic": title, "text": …}`.
  `"split"` is optional, one of `train`, `probe` and `exam`, on all lines or on none. Without splits kgrl draws them and
  drops near-duplicates across them; given splits are used as they are.

kgrl's cache of processed corpora has the same layout.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kgrl.corpus import Corpus, Split, near_duplicates, split_passages
from kgrl.data.reading import OnError, Problems, json_lines, lines_of, parquet_rows
from kgrl.errors import DataError
from kgrl.graph.topic_graph import TopicGraph
from kgrl.system.files import new_folder

__all__ = ["load_folder", "save_folder"]

_SPLITS = {split.name.lower(): int(split) for split in Split}


@dataclass
class _Topic:
    """A line of `topics.jsonl`."""

    line: int
    category: str
    textless: bool


@dataclass
class _Passages:
    """The usable lines of a passages file."""

    titles: list[str]
    texts: list[str]
    splits: list[int | None]


@dataclass
class _Links:
    """The usable lines of `links.tsv`; `places` is empty if the file has none."""

    sources: list[int]
    targets: list[int]
    places: list[int]

    def place_on(self, graph: TopicGraph) -> TopicGraph:
        """Return the graph of these links with their places."""
        if not self.places:
            return graph
        at = graph.positions(self.sources, self.targets)  # -1 for a link of a topic with itself, which graphs leave out
        places = np.full(graph.n_links, -1, dtype=np.int32)
        places[at[at >= 0]] = np.array(self.places)[at >= 0]
        return graph.with_places(places)


def load_folder(folder: str | Path, *, on_error: OnError = "fail", name: str | None = None) -> Corpus:
    """Load a corpus folder.

    Args:
        folder: The folder; the module's documentation describes its files.
        on_error: What to do with a record that cannot be used: `"fail"`, or `"skip"` and log how many were skipped.
        name: The corpus's name; by default the folder's.

    Raises:
        DataError: If a record cannot be used and `on_error` is `"fail"`: malformed JSON, invalid UTF-8, a duplicate
            topic, a dangling link, an empty passage, a topic without text. The message names the file and the line.
        MissingDataError: If a file is missing.
    """
    folder = Path(folder)
    problems = Problems(folder, on_error)
    topics = _read_topics(folder, problems)
    passages = _read_passages(folder, topics, problems)
    skipped = _drop_textless(folder, topics, passages, problems)
    number = {title: topic for topic, title in enumerate(topics)}
    # Numbers without the topics just dropped: their links are then reported as links of a topic without text.
    links = _read_links(folder, number, skipped, problems)
    problems.log()
    categories = [topic.category for topic in topics.values()]
    graph = links.place_on(TopicGraph.from_links(list(topics), links.sources, links.targets, categories))
    return _assemble(name or folder.resolve().name, graph, passages)


def save_folder(corpus: Corpus, folder: str | Path) -> None:
    """Write a corpus as a folder from which `load_folder` reads the same corpus, whole or not at all.

    Args:
        corpus: The corpus.
        folder: A folder that is missing or empty.

    Raises:
        FileExistsError: If the folder is not empty; nothing is overwritten.
    """
    graph = corpus.graph
    has_text = np.bincount(corpus.topics, minlength=len(graph)) > 0
    topics = (
        {"title": title, "category": category, **({} if text else {"textless": True})}
        for title, category, text in zip(graph.titles, graph.categories, has_text, strict=True)
    )
    passages = (
        {"topic": graph.titles[topic], "text": text, "split": Split(split).name.lower()}
        for topic, text, split in zip(corpus.topics, corpus.texts, corpus.splits.tolist(), strict=True)
    )
    with new_folder(Path(folder)) as temporary:
        _write_lines(temporary / "topics.jsonl", (json.dumps(topic, ensure_ascii=False) for topic in topics))
        _write_lines(temporary / "passages.jsonl", (json.dumps(passage, ensure_ascii=False) for passage in passages))
        ends = (
            f"{graph.titles[source]}\t{graph.titles[target]}" for source, target in zip(*graph.links(), strict=True)
        )
        placed = ends if graph.places is None else (f"{link}\t{n}" for link, n in zip(ends, graph.places, strict=True))
        _write_lines(temporary / "links.tsv", placed)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def _read_topics(folder: Path, problems: Problems) -> dict[str, _Topic]:
    """Read `topics.jsonl` into a table by title, in the order of the file."""
    path = folder / "topics.jsonl"
    topics: dict[str, _Topic] = {}
    for line, record in json_lines(path, problems):
        title, category, textless = record.get("title"), record.get("category", ""), record.get("textless", False)
        if not isinstance(title, str) or not title.strip() or "\t" in title or title.splitlines() != [title]:
            problems.report(path, line, "malformed line", "'title' must be one line of text without tabs")
        elif not isinstance(category, str) or not isinstance(textless, bool):
            problems.report(path, line, "malformed line", "'category' must be text and 'textless' true or false")
        elif title in topics:
            reason = f"the topic {title!r} is there already, on line {topics[title].line}"
            problems.report(path, line, "duplicate topic", reason)
        else:
            topics[title] = _Topic(line, category, textless)
    return topics


def _read_passages(folder: Path, topics: dict[str, _Topic], problems: Problems) -> _Passages:
    """Read `passages.jsonl` or `passages.parquet`."""
    lines, columns = folder / "passages.jsonl", folder / "passages.parquet"
    if lines.exists() and columns.exists():
        raise DataError(folder, None, "holds both passages.jsonl and passages.parquet; keep one of them")
    path = columns if columns.exists() else lines
    records = parquet_rows(path, problems) if path is columns else json_lines(path, problems)
    read = _Passages([], [], [])
    for line, record in records:
        title, text, split = record.get("topic"), record.get("text"), record.get("split")
        if not isinstance(title, str) or not isinstance(text, str) or (split is not None and split not in _SPLITS):
            problems.report(
                path, line, "malformed line", "needs 'topic' and 'text', and 'split' only of train, probe, exam"
            )
        elif title not in topics:
            problems.report(path, line, "passage of an unknown topic", f"{title!r} is not a topic")
        elif not text.strip():
            problems.report(path, line, "empty passage", f"the passage of {title!r} is empty")
        elif read.splits and (split is None) != (read.splits[0] is None):
            problems.report(
                path, line, "passage without a split among split ones", "give all passages a split, or none"
            )
        else:
            read.titles.append(title)
            read.texts.append(text)
            read.splits.append(None if split is None else _SPLITS[split])
    return read


def _drop_textless(folder: Path, topics: dict[str, _Topic], passages: _Passages, problems: Problems) -> set[str]:
    """Report topics without text that are not marked as textless, remove them from the table, return their titles."""
    lacking = [title for title in topics.keys() - set(passages.titles) if not topics[title].textless]
    for title in sorted(lacking, key=lambda title: topics[title].line):  # so that the first in the file is reported
        reason = f'the topic {title!r} has no text; say "textless": true if that is meant'
        problems.report(folder / "topics.jsonl", topics[title].line, "topic without text", reason)
        del topics[title]
    return set(lacking)


def _read_links(folder: Path, number: dict[str, int], skipped: set[str], problems: Problems) -> _Links:
    """Read `links.tsv` into topic numbers."""
    path = folder / "links.tsv"
    links = _Links([], [], [])
    for line, text in lines_of(path, problems):
        ends, place = text.split("\t")[:2], text.split("\t")[2:]
        unknown = [end for end in ends if end not in number]
        if len(ends) != 2 or len(place) > 1 or not all(n == "-1" or (n.isascii() and n.isdigit()) for n in place):
            reason = "a link is two titles with one tab between them, and optionally a number of words"
            problems.report(path, line, "malformed line", reason)
        elif unknown:
            # A link of a topic that was skipped for its lack of text is not a mistake of the links file.
            kind = "link of a topic without text" if skipped.issuperset(unknown) else "dangling link"
            problems.report(path, line, kind, f"{unknown[0]!r} is not a topic")
        elif links.sources and bool(place) != bool(links.places):
            problems.report(path, line, "link without a place among placed ones", "give all links a place, or none")
        else:
            links.sources.append(number[ends[0]])
            links.targets.append(number[ends[1]])
            links.places += map(int, place)
    return links


def _assemble(name: str, graph: TopicGraph, passages: _Passages) -> Corpus:
    """Order passages by topic; if they have no splits, draw them and drop near-duplicates."""
    topics = np.array([graph.index(title) for title in passages.titles], dtype=np.int32)
    order = np.argsort(topics, kind="stable")  # passages of a topic stay in text order
    topics, texts = topics[order], [passages.texts[i] for i in order]
    if None not in passages.splits:  # given splits are taken as they are, near-duplicates included
        return Corpus(name, graph, texts, topics, np.array(passages.splits, dtype=np.uint8)[order])
    starts = np.searchsorted(topics, np.arange(len(graph) + 1))
    by_topic = [
        split_passages(title, texts[start:stop])
        for title, start, stop in zip(graph.titles, starts[:-1], starts[1:], strict=True)
    ]
    splits = np.concatenate(by_topic)
    keep = np.flatnonzero(~near_duplicates(texts, splits))
    return Corpus(name, graph, [texts[i] for i in keep], topics[keep], splits[keep])
