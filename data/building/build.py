"""Build of a corpus folder from raw text: read, compared, cut, linked, written.

Texts are on the disk while the folder is built, one document in memory at a time. In memory are some hundred bytes a
document (title, key, sketch) and the links; embeddings are mapped.

    documents    files of a folder, records, rows (`kgrl.data.building.sources`); repeats are left out (`repeats`)
    topics       documents, sections by headings (`topics`), or concepts mined from the text (`concepts`)
    links        those that the format writes down (`hyperlinks`); mentions of titles (`mentions`);
                 nearest topics where these are few, and links that join the parts of the graph (`similar`)
    categories   stated, folders, or communities (`categories`)
"""

from __future__ import annotations

import array
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

import numpy as np

from kgrl.data.building.categories import categories_of, folders_of, parent_folder
from kgrl.data.building.concepts import LEAST_CONCEPTS, LEAST_PASSAGES, ConceptTopics, concept_topics
from kgrl.data.building.document import Document
from kgrl.data.building.hyperlinks import Ends, Resolver, hyperlinks
from kgrl.data.building.mentions import mention_links
from kgrl.data.building.near import NearTopics
from kgrl.data.building.passages import Written, write_passages
from kgrl.data.building.repeats import Repeats, Sketches
from kgrl.data.building.similar import joining_links, nearest_links
from kgrl.data.building.sources import Readings, documents_of
from kgrl.data.building.spool import Spool, TextFile
from kgrl.data.building.topics import (
    TopicKind,
    Topics,
    chosen_kind,
    document_title,
    sections_of,
    topics_of,
    without_site_name,
)
from kgrl.data.reading import OnError, Problems
from kgrl.errors import KgrlError, UnknownNameError
from kgrl.graph.topic_graph import TopicGraph
from kgrl.retrieval.encoder import DEFAULT_ENCODER, AnyEncoder, Encoder, as_encoder
from kgrl.system.display import count_text
from kgrl.system.files import new_folder, remove_left_overs, write_text
from kgrl.system.schemas import yaml_text

__all__ = ["BUILD_FILE", "BuiltFolder", "build_folder"]

BUILD_FILE = "build.yaml"
"""The file of a built corpus folder that tells what was decided, with counts."""
_WORK = "work"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuiltFolder:
    """The corpus folder that was built, and what was decided.

    Args:
        folder: The folder.
        decisions: Rules and counts, as `build.yaml` has them.
    """

    folder: Path
    decisions: dict[str, Any]

    def __repr__(self) -> str:
        links = ", ".join(f"{n:,} {kind}" for kind, n in self.decisions["links"].items())
        return f"BuiltFolder({str(self.folder)!r}, {count_text(self.decisions['topics']['count'], 'topic')}: {links})"


@dataclass
class _Read:
    """Documents in the spool, and what is kept of them in memory."""

    spool: Spool
    passages: TextFile  # those of concepts
    sketches: Sketches = field(default_factory=Sketches)
    titles: list[str] = field(default_factory=list)  # "" for those that are made from the text
    parents: list[str] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    sections: array.array[int] = field(default_factory=lambda: array.array("i"))
    links: int = 0
    without_prose: int = 0
    _known: dict[str, str] = field(default_factory=dict)

    def add(self, document: Document) -> None:
        """Keep a document, unless it has no prose."""
        text = document.text
        if not text:
            self.without_prose += 1
            return
        self.spool.add(document)
        self.sketches.add(text)
        title, titled = document_title(document)
        self.titles.append(title if titled else "")
        # Of a million documents most share their folder and category: one object for all of them.
        self.parents.append(self._shared(parent_folder(document.key)))
        self.categories.append(self._shared(document.category))
        self.sections.append(len(sections_of(document)))
        self.links += sum(len(section.links) for section in document.sections)

    def _shared(self, text: str) -> str:
        return self._known.setdefault(text, text)


def build_folder(
    source: str | Path,
    out: str | Path,
    *,
    topics: TopicKind | None = None,
    text_field: str = "text",
    language: str = "en",
    encoder: AnyEncoder = DEFAULT_ENCODER,
    on_error: OnError = "fail",
    on_document: Callable[[int, str], None] = lambda documents, step: None,
) -> BuiltFolder:
    """Build a corpus folder from raw text. `load_corpus(out)` then loads it.

    Args:
        source: A folder of `.txt`, `.md`, `.html` and `.rst`, of JSON Lines (also `.gz`, `.zst`) and Parquet, one such
            file, or a Hugging Face dataset as `hf:NAME[:SPLIT[:CONFIGURATION]]`.
        out: The corpus folder; missing or empty. It is written whole or not at all.
        topics: `"documents"`, `"sections"` or `"concepts"`; by the rule of `kgrl.data.building.topics` if None.
        text_field: The name of the text in a record.
        language: The code of the texts' language, for the abbreviations that end no sentence.
        encoder: Embeds topics, to find similar ones.
        on_error: What to do with a file or record that cannot be used: `"fail"`, or `"skip"` and count it.
        on_document: Called with the number of documents read so far, and the name of the step.

    Raises:
        MissingDataError: If the source does not exist, holds nothing that can be read, or needs a missing package.
        DataError: If a file or record cannot be used, and `on_error` is `"fail"`.
        KgrlError: If no graph can be made: there is no prose, or all documents are alike.
        FileExistsError: If `out` holds something already.

    Example:
        >>> import tempfile
        >>> from kgrl.data import load_corpus
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name, other in (("Logic", "Set"), ("Set", "Number"), ("Number", "Logic")):
        ...     text = f"{name} is old. It is taught in schools. Read about [{other}]({other}.md) as well."
        ...     _ = (folder / f"{name}.md").write_text(text)
        >>> build_folder(folder, folder / "corpus").decisions["links"]["hyperlinks"]
        3
        >>> load_corpus(folder / "corpus").graph
        TopicGraph(3 topics, 3 links)
    """
    if topics is not None and topics not in get_args(TopicKind):
        raise UnknownNameError("kind of topics", topics, get_args(TopicKind))
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} exists and is not an empty folder")
    remove_left_overs(out.parent)
    problems, readings = Problems(Path(source), on_error), Readings()
    with new_folder(out) as folder:
        work = folder / _WORK
        work.mkdir()
        with closing(Spool(work / "documents")) as spool, closing(TextFile(work / "texts")) as passages:
            read = _Read(spool, passages)
            for document in documents_of(str(source), text_field, problems, readings):
                read.add(document)
                on_document(len(spool), "reading")
            problems.log()
            _warn_of_encodings(readings)
            step = _Steps(len(spool), on_document)
            told = _build(read, folder, topics, language, as_encoder(encoder), step)
        for file in work.iterdir():
            file.unlink()
        work.rmdir()
        decisions = {"source": str(source), "read": _told_read(read, readings, problems), **told}
        write_text(folder / BUILD_FILE, yaml_text(decisions))
    return BuiltFolder(out, decisions)


@dataclass(frozen=True)
class _Steps:
    """The step of a build that is under way, for whoever watches."""

    documents: int
    on_document: Callable[[int, str], None]

    def __call__(self, step: str) -> None:
        self.on_document(self.documents, step)


def _build(
    read: _Read, folder: Path, asked: TopicKind | None, language: str, encoder: Encoder, step: _Steps
) -> dict[str, Any]:
    """Write the files of the corpus, and return what was decided."""
    step("comparing")
    repeats = read.sketches.repeats(lambda number: read.spool[number].text)
    topics = _topics(read, repeats, asked, language)
    texts = topics.texts(read.spool)
    step("cutting")
    passages = topics.passages(read.spool, language)
    written = write_passages(folder / _WORK / "passages.jsonl", topics.titles, passages, encoder)
    (folder / _WORK / "passages.jsonl").rename(folder / "passages.jsonl")
    step("linking")
    kinds, elsewhere = _written_links(read, topics, repeats)
    named = [title if titled else "" for title, titled in zip(topics.titles, topics.titled.tolist(), strict=True)]
    kinds["mentions"] = mention_links(named, texts, written.embeddings)
    if isinstance(topics, ConceptTopics):
        kinds["together"] = topics.links
    near = NearTopics(written.embeddings, folder / _WORK)
    kinds["neighbours"] = nearest_links(near, *_joined(kinds.values()))
    kinds["joins"] = joining_links(near, *_joined(kinds.values()))
    kinds = _each_once(kinds)
    graph = TopicGraph.from_links(topics.titles, *_joined(kinds.values()))
    step("grouping")
    stated, folders = read.categories, folders_of(read.parents)
    categories, rule = categories_of(topics, stated, folders, read.titles, graph, written.embeddings)
    _write_graph(folder, graph, categories, written)
    return {
        "repeats": {"exact": repeats.exact, "near": repeats.near},
        "topics": {
            "count": len(topics),
            "kind": topics.kind,
            "why": topics.why,
            "renamed": topics.renamed,
            "made_titles": int((~topics.titled).sum()),
            "without_text": int((~written.has_text).sum()),
            **(topics.counts if isinstance(topics, ConceptTopics) else {}),
        },
        "links": {kind: len(sources) for kind, (sources, _) in kinds.items()},
        "links_elsewhere": elsewhere,
        "parts": int(graph.components.max()) + 1,
        "categories": {"count": len({name for name in categories if name}), "rule": rule},
        "passages": {**written.counts, "near_duplicates_dropped": written.dropped},
        "language": language,
        "encoder": {"model": str(encoder.model), "fingerprint": encoder.fingerprint},
    }


def _topics(read: _Read, repeats: Repeats, asked: TopicKind | None, language: str) -> Topics:
    """Return the topics of the documents that repeat no other.

    Raises:
        KgrlError: If they are fewer than two.
    """
    kept = np.flatnonzero(repeats.first == np.arange(len(repeats.first))).tolist()
    if not kept:
        raise KgrlError(f"there is no prose in the source: {read.without_prose:,} documents without any sentence")
    sections = sum(read.sections[number] for number in kept)
    kind, why = chosen_kind(len(kept), sections, sum(not read.titles[number] for number in kept), asked)
    if kind == "concepts":
        concepts = concept_topics(why, read.spool, kept, read.passages, language)
        if len(concepts) >= (2 if asked else LEAST_CONCEPTS):
            return concepts
        found = f"only {count_text(len(concepts), 'concept')} of {LEAST_PASSAGES} passages or more in its text"
        if asked:
            raise KgrlError(f"no graph can be made of this source: {found}. Take its documents (--topics documents)")
        kind, why = "documents", f"{why}, and {found}"
    read.titles = without_site_name(read.titles)
    topics = topics_of(kind, why, read.spool, kept, read.titles)
    if len(topics) < 2:
        alike = count_text(len(read.titles), "document")
        why = f"all of its {alike} are alike" if len(read.titles) > 1 else f"it has {alike}"
        way_out = "" if kind == "sections" else ", or take its sections as topics (--topics sections)"
        raise KgrlError(f"no graph can be made of this source: {why}, which is one topic. Give other text{way_out}")
    return topics


def _written_links(read: _Read, topics: Topics, repeats: Repeats) -> tuple[dict[str, Ends], int]:
    """Return the links that documents write down by kind, and the number of those that lead to no topic."""
    if isinstance(topics, ConceptTopics):  # links lead to documents, which are no topics
        return hyperlinks(topics, read.spool, None)[0], read.links
    resolver = Resolver(topics, read.spool, repeats.first) if read.links else None
    return hyperlinks(topics, read.spool, resolver)


def _joined(kinds: Iterable[Ends]) -> Ends:
    """Return the links of all kinds, end to end."""
    pairs = list(kinds)
    return (
        np.concatenate([sources for sources, _ in pairs]).astype(np.int32),
        np.concatenate([targets for _, targets in pairs]).astype(np.int32),
    )


def _each_once(kinds: dict[str, Ends]) -> dict[str, Ends]:
    """Return links without those that are there already, of the same kind or of one before."""
    seen = np.empty(0, dtype=np.int64)
    kept: dict[str, Ends] = {}
    for kind, (sources, targets) in kinds.items():
        codes, first = np.unique(sources.astype(np.int64) << 32 | targets, return_index=True)
        fresh = np.sort(first[~np.isin(codes, seen)])
        kept[kind] = sources[fresh], targets[fresh]
        seen = np.union1d(seen, codes)
    return kept


def _write_graph(folder: Path, graph: TopicGraph, categories: list[str], written: Written) -> None:
    """Write `topics.jsonl` and `links.tsv`."""
    with (folder / "topics.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        for title, category, text in zip(graph.titles, categories, written.has_text.tolist(), strict=True):
            told = {"title": title, **({"category": category} if category else {})}
            file.write(json.dumps(told if text else {**told, "textless": True}, ensure_ascii=False) + "\n")
    with (folder / "links.tsv").open("w", encoding="utf-8", newline="\n") as file:
        for source in range(len(graph)):
            file.writelines(_lines_of(graph, source))


def _lines_of(graph: TopicGraph, source: int) -> Iterator[str]:
    return (f"{graph.titles[source]}\t{graph.titles[target]}\n" for target in graph.out(source).tolist())


def _told_read(read: _Read, readings: Readings, problems: Problems) -> dict[str, Any]:
    """Return the counts of what was read and left out."""
    told = {each.name: dict(getattr(readings, each.name)) for each in fields(readings)}
    counts = {"documents": len(read.titles), "without_prose": read.without_prose, "skipped": dict(problems.skipped)}
    return {**counts, **{name: value for name, value in told.items() if value}}


def _warn_of_encodings(readings: Readings) -> None:
    for encoding, names in readings.not_utf8.items():
        n = readings.encodings[encoding]
        more = f" and {n - len(names):,} more" if n > len(names) else ""
        _log.warning("%s in %s, not UTF-8: %s%s", count_text(n, "file"), encoding, ", ".join(names), more)
