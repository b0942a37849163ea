"""Join of a dump's pieces: redirects folded, topics numbered, links resolved, repeated passages dropped."""

from __future__ import annotations

import array
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Split
from kgrl.graph.topic_graph import TopicGraph
from kgrl.system.files import new_folder

__all__ = ["Imported", "join_pieces", "resolved"]


def join_pieces(
    pieces: Sequence[Path], out: Path, done: Imported, disambiguations: Collection[str] = frozenset()
) -> None:
    """Write the corpus folder of some pieces, and count its contents.

    A passage with the same words as one in a more protected split is dropped; exam is more protected than probe, and
    probe more than train. Near-duplicates were dropped within each piece.

    Args:
        pieces: The pieces, in order.
        out: The folder; missing or empty.
        done: Gets the counts.
        disambiguations: Templates whose pages are left out as disambiguation pages.
    """
    records = _Records(pieces, disambiguations)
    titles, redirects = _titles(records, done)
    numbers = {title: number for number, title in enumerate(titles)}
    leads_to = resolved(redirects, numbers)
    done.redirects = len(leads_to)
    graph = _graph(records, titles, numbers, leads_to)
    done.topics, done.links = len(graph), graph.n_links
    held_out = _held_out_wording(records)  # a pass of its own: a later piece may hold the exam passage
    with new_folder(out) as temporary:
        done.passages, with_text = _write_passages(temporary / "passages.jsonl", records, held_out)
        with (temporary / "topics.jsonl").open("w", encoding="utf-8", newline="\n") as file:
            for title, category in zip(graph.titles, graph.categories, strict=True):
                # A topic whose passages were all dropped stays in the graph.
                textless = {} if title in with_text else {"textless": True}
                file.write(json.dumps({"title": title, "category": category, **textless}, ensure_ascii=False) + "\n")
        with (temporary / "links.tsv").open("w", encoding="utf-8", newline="\n") as file:
            for source in range(len(graph)):
                ends = (f"{graph.titles[source]}\t{graph.titles[target]}\n" for target in graph.out(source).tolist())
                file.writelines(ends)
        graph.save(temporary / "graph")


def resolved(redirects: Mapping[str, str], numbers: Mapping[str, int]) -> dict[str, int]:
    """Return the topic at the end of each chain of redirects; chains that lead nowhere or in circles are left out.

    Example:
        >>> resolved({"a": "b", "b": "Topic", "c": "d", "d": "c"}, {"Topic": 3})
        {'a': 3, 'b': 3}
    """
    found: dict[str, int] = {}
    # MediaWiki follows one redirect only, but dumps hold chains, and circles, that bots have not repaired.
    for title in redirects:
        seen, target = {title}, redirects[title]
        while target not in numbers and target in redirects and target not in seen:
            seen.add(target)
            target = redirects[target]
        if target in numbers:
            found[title] = numbers[target]
    return found


class _Records:
    """Records of pieces, which are read anew in each pass."""

    def __init__(self, pieces: Iterable[Path], disambiguations: Collection[str]) -> None:
        self._pieces, self._disambiguations = pieces, frozenset(disambiguations)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for piece in self._pieces:
            with piece.open(encoding="utf-8") as file:
                for record in map(json.loads, file):
                    if self._disambiguations.isdisjoint(record.get("templates", ())):
                        yield record
                    else:
                        yield {"title": record["title"], "left_out": "disambiguation"}


def _titles(records: _Records, done: Imported) -> tuple[list[str], dict[str, str]]:
    """Return the topics' titles in the dump's order, and the target of each redirect."""
    titles: dict[str, None] = {}
    redirects: dict[str, str] = {}
    for record in records:
        if "texts" in record:
            titles[record["title"]] = None
        elif "redirect" in record:
            redirects[record["title"]] = record["redirect"]
        else:
            done.leave_out(record["left_out"])
    return list(titles), redirects


def _graph(records: _Records, titles: list[str], numbers: Mapping[str, int], leads_to: Mapping[str, int]) -> TopicGraph:
    # Arrays of 4 bytes a link: lists would take ten times as much, and a dump has hundreds of millions of links.
    sources, targets = array.array("i"), array.array("i")
    categories = [""] * len(titles)
    for record in records:
        if "texts" in record:
            source = numbers[record["title"]]
            categories[source] = record["category"]
            for link in record["links"]:
                target = numbers.get(link, leads_to.get(link, source))  # itself, so left out, if there is no article
                if target != source:
                    sources.append(source)
                    targets.append(target)
    return TopicGraph.from_links(titles, np.array(sources, np.int32), np.array(targets, np.int32), categories)


def _held_out_wording(records: _Records) -> dict[Split, NDArray[np.uint64]]:
    """Return the hashes of probe and of exam passages, ascending, without repeats."""
    found: dict[Split, array.array[int]] = {split: array.array("Q") for split in (Split.PROBE, Split.EXAM)}
    for record in records:
        for split, wording in zip(record.get("splits", ()), record.get("wording", ()), strict=True):
            if split != Split.TRAIN:
                found[Split(split)].append(wording)
    return {split: np.unique(np.array(hashes, np.uint64)) for split, hashes in found.items()}


def _repeated(splits: list[int], wording: list[int], held_out: Mapping[Split, NDArray[np.uint64]]) -> NDArray[np.bool_]:
    """Return a mask of the passages with the same words as one in a more protected split, `[passages]`."""
    own, hashes = np.array(splits, np.uint8), np.array(wording, np.uint64)
    in_exam = np.isin(hashes, held_out[Split.EXAM]) & (own != Split.EXAM)
    repeated: NDArray[np.bool_] = in_exam | (np.isin(hashes, held_out[Split.PROBE]) & (own == Split.TRAIN))
    return repeated


def _write_passages(
    path: Path, records: _Records, held_out: Mapping[Split, NDArray[np.uint64]]
) -> tuple[dict[str, int], set[str]]:
    """Write the passages; return their number by split, and the titles that have any."""
    counts = {split.name.lower(): 0 for split in Split}
    written: set[str] = set()
    with_text: set[str] = set()
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            # A dump may hold a title twice; the first page's passages are written.
            if "texts" not in record or record["title"] in written:
                continue
            written.add(record["title"])
            repeated = _repeated(record["splits"], record["wording"], held_out)
            for text, number, drop in zip(record["texts"], record["splits"], repeated.tolist(), strict=True):
                if not drop:
                    name = Split(number).name.lower()
                    counts[name] += 1
                    line = {"topic": record["title"], "text": text, "split": name}
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
                    with_text.add(record["title"])
    return counts, with_text


@dataclass
class Imported:
    """Counts of an import.

    Args:
        pages: Pages that were read, of all namespaces.
        topics: Articles with text.
        links: Links among them, redirects followed.
        passages: Passages by split.
        redirects: Redirects that were folded.
        left_out: Pages that are not topics, by reason.
        incomplete: The reason why the file was not read to its end; empty if it was.
    """

    pages: int = 0
    topics: int = 0
    links: int = 0
    passages: dict[str, int] = field(default_factory=dict)
    redirects: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    incomplete: str = ""

    def leave_out(self, reason: str) -> None:
        """Count a page that is not a topic."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1
