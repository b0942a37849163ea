"""Corpora as folders of plain files: bring your own graph and text, or export one.

A corpus folder holds

- `topics.jsonl`: one topic a line, `{"title": …}`. `"category": …` is optional. `"textless": true` marks a topic that
  is meant to have no text; it stays in the graph and is never trained on.
  A title is one line of text without control characters; `"category": null` stands for none.
- `links.tsv`: one link a line, source and target titles with a tab between them. Two more columns are optional. First
  the number of words of the source's text before it first mentions the target, -1 if it does not; on all lines or on
  none. Then the kind of the link: `prerequisite`, if the source is needed before the target, or `link`, which is what
  links without a kind are. Prerequisites must not go round in a circle.
- `passages.jsonl`, or `passages.parquet` with the same columns: one passage a line, `{"topic": title, "text": …}`.
  `"split"` is optional, one of `train`, `probe` and `exam`, on all lines or on none. Without splits kgrl draws them and
  drops near-duplicates across them; given splits are used as they are. Parquet files may have further columns.
- `exam.jsonl`, if it has an exam of its own: one passage a line, as `kgrl.data.own_exam` describes. Its passages take
  the place of drawn exam passages; passages that are given the split `exam` are then left out. Train and probe passages
  that are near-duplicates of one are dropped.
- `questions.jsonl`, if it has questions of its own: one a line, as `kgrl.data.questions` describes. They are asked with
  every exam. Where kgrl draws the splits, their statements count as exam passages: train and probe passages that are
  near-duplicates of one are dropped.

Titles are the same if they differ in composed and decomposed accents, in invisible characters or in white space only.

`load_folder` reads and checks the files, `folder_faults` returns all that is wrong with them. `open_folder` reads them
once, and opens the processed form from then on.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from kgrl.corpus import Cloze, Corpus, Split, near_duplicates, split_passages
from kgrl.data.own_exam import EXAM, ExamLine, OwnExam, read_exam, repeated_wording
from kgrl.data.processed import processed
from kgrl.data.questions import QUESTIONS, QuestionLine, question_lines, read_questions
from kgrl.data.reading import OnError, Problems, json_lines, lines_of, parquet_rows
from kgrl.errors import DataError, MissingDataError, closest_name
from kgrl.graph.circles import circle_text, circles
from kgrl.graph.topic_graph import PREREQUISITE, IntArray, TopicGraph
from kgrl.system.files import file_digest, new_folder
from kgrl.system.words import canonical

__all__ = ["folder_faults", "folder_schemas", "load_folder", "open_folder", "save_folder"]

_FILES = ("topics.jsonl", "links.tsv", "passages.jsonl", "passages.parquet", QUESTIONS, EXAM)
_OF_TEXTLESS = "link of a topic without text"
_JSON_SCHEMA = "https://json-schema.org/draft/2020-12/schema"
_MOST_BLANK = 100
"""Characters up to which a text is searched for anything visible; longer ones have it."""
_KINDS = {"link", PREREQUISITE}
"""The kinds of a link."""
_PLACE = re.compile(r"-1|[0-9]{1,9}")
_SPLITS = {split.name.lower(): int(split) for split in Split}


class _TopicLine(Struct, forbid_unknown_fields=True):
    """A line of `topics.jsonl`: one topic."""

    title: Annotated[str, Meta(description="The title: one line of text without control characters, unlike all others")]
    category: Annotated[str | None, Meta(description="The name of its category; null or left out for none")] = None
    textless: Annotated[bool, Meta(description="True for a topic that is meant to have no passages")] = False


class _PassageLine(Struct, forbid_unknown_fields=True):
    """A line of `passages.jsonl`, or a row of `passages.parquet`: one passage."""

    topic: Annotated[str, Meta(description="The title of its topic")]
    text: Annotated[str, Meta(description="The text; not blank")]
    split: Annotated[
        Literal["train", "probe", "exam"] | None, Meta(description="Its use; on all lines, or on none to have it drawn")
    ] = None


@dataclass
class _Topic:
    """A usable line of `topics.jsonl`."""

    line: int
    title: str
    category: str
    textless: bool


@dataclass
class _Passages:
    """The usable lines of a passages file."""

    keys: list[str]
    texts: list[str]
    splits: list[int | None]

    def learned(self) -> Iterator[tuple[str, str]]:
        """Yield topic and text of the passages that an exam of one's own leaves to train on or to probe with."""
        for key, text, split in zip(self.keys, self.texts, self.splits, strict=True):
            if split != Split.EXAM:
                yield key, text


@dataclass
class _Links:
    """The usable lines of `links.tsv`.

    `places` is empty if the file has none. `needed` has the first line of each prerequisite, by its ends.
    """

    sources: list[int]
    targets: list[int]
    places: list[int]
    needed: dict[tuple[int, int], int]

    def graph(self, titles: Sequence[str], categories: Sequence[str]) -> TopicGraph:
        """Return the graph of these links, with places and prerequisites."""
        graph = self._placed(TopicGraph.from_links(titles, self.sources, self.targets, categories))
        return graph.with_prerequisites([ends[0] for ends in self.needed], [ends[1] for ends in self.needed])

    def _placed(self, graph: TopicGraph) -> TopicGraph:
        """Return the graph with the places of its links."""
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
            topic, a dangling link, an empty passage, a topic without text, a question that cannot be asked, an exam
            passage that is trained on. The message names the file and the line.
        MissingDataError: If a file is missing.
    """
    folder = Path(folder)
    problems = Problems(folder, on_error)
    topics = _read_topics(folder, problems)
    passages = _read_passages(folder, topics, problems)
    skipped = _drop_textless(folder, topics, passages, problems)
    number = {key: topic for topic, key in enumerate(topics)}
    # Numbers without the topics just dropped: their links are then reported as links of a topic without text.
    links = _read_links(folder, number, skipped, problems)
    _drop_circles(folder, links, [topic.title for topic in topics.values()], problems)
    questions = read_questions(folder, number, problems)
    exam = read_exam(folder, number, passages.learned(), problems)
    problems.log()
    titles, categories = [topic.title for topic in topics.values()], [topic.category for topic in topics.values()]
    graph = links.graph(titles, categories)
    owners = np.array([number[key] for key in passages.keys], dtype=np.int32)
    return _assemble(name or folder.resolve().name, graph, owners, passages, questions, exam)


class _Faults(Problems):
    """Collector of all that is wrong with a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "skip")
        self.found: list[DataError] = []

    def report(self, path: Path, line: int | None, kind: str, reason: str) -> None:
        """Keep a fault, but for those that follow from another one."""
        if kind != _OF_TEXTLESS:
            self.found.append(DataError(path, line, reason))

    @contextmanager
    def of_file(self) -> Iterator[None]:
        """Keep an error by which a whole file cannot be read."""
        try:
            yield
        except DataError as error:
            self.found.append(error)
        except MissingDataError as error:
            self.found.append(DataError(self.source, None, str(error)))


def folder_faults(folder: str | Path) -> list[DataError]:
    r"""Return everything that is wrong with a corpus folder, in the order of its files and lines; nothing if it loads.

    Args:
        folder: The folder; the module's documentation describes its files.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "topics.jsonl").write_text('{"title": "Logic"}\n{"titel": "Set"}\n')
        >>> _ = (folder / "links.tsv").write_text("Logic\tMars\n")
        >>> for fault in folder_faults(folder):
        ...     print(fault.path.name, fault.line, fault.reason)  # doctest: +ELLIPSIS
        topics.jsonl 2 'titel' is no known key; did you mean 'title'?
        ... None .../passages.jsonl is missing; a corpus folder holds ...
        links.tsv 1 'Mars' is not a topic
    """
    folder = Path(folder)
    faults = _Faults(folder)
    topics: dict[str, _Topic] = {}
    with faults.of_file():
        topics = _read_topics(folder, faults)
    if not topics:  # then nothing can be said about the other files
        return faults.found or [DataError(folder / "topics.jsonl", None, "it holds no topic")]
    passages = _Passages([], [], [])
    with faults.of_file():
        passages = _read_passages(folder, topics, faults)
        _drop_textless(folder, dict(topics), passages, faults)
    number = {key: topic for topic, key in enumerate(topics)}
    with faults.of_file():
        links = _read_links(folder, number, set(), faults)
        _drop_circles(folder, links, [topic.title for topic in topics.values()], faults)
    with faults.of_file():
        read_questions(folder, number, faults)
    with faults.of_file():
        read_exam(folder, number, passages.learned(), faults)
    return faults.found


def folder_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON schema of a line of each JSON Lines file of a corpus folder, by the file's name.

    Example:
        >>> folder_schemas()["topics.jsonl"]["required"]
        ['title']
    """
    lines = {"topics.jsonl": _TopicLine, "passages.jsonl": _PassageLine, QUESTIONS: QuestionLine, EXAM: ExamLine}
    made = {}
    for name, kind in lines.items():
        (told,) = msgspec.json.schema(kind)["$defs"].values()
        made[name] = {"$schema": _JSON_SCHEMA, **told, "title": f"A line of {name}"}
    return made


def open_folder(folder: str | Path, *, on_error: OnError = "fail") -> Corpus:
    """Load a corpus folder, or open its processed form if this machine has read the same files before.

    The files' content is the key: after a change they are read anew. Corpora that are open stay as they are.

    Args:
        folder: The folder; the module's documentation describes its files.
        on_error: As for `load_folder`. A folder with records to skip is not kept, so that each load counts them.

    Raises:
        DataError: See `load_folder`; also if the files change while they are read.
        MissingDataError: If a file is missing.
        KgrlError: If the cache folder cannot be written to.
    """
    folder = Path(folder)
    content = _digests(folder)

    def build() -> Corpus:
        """Read the folder; what is kept under a key has to be the content of the key."""
        corpus = load_folder(folder)
        if _digests(folder) != content:
            raise DataError(folder, None, "its files changed while they were read; load it again")
        return corpus

    try:
        return processed(folder.resolve().name, ["folder", *content], build)
    except DataError:
        if on_error == "fail":
            raise
    return load_folder(folder, on_error=on_error)


def _digests(folder: Path) -> list[str]:
    """Return the SHA-256 of each file, `""` for one that is missing."""
    return [file_digest(path) if (path := folder / name).is_file() else "" for name in _FILES]


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
        _write_lines(temporary / "links.tsv", _link_lines(graph))
        if corpus.questions:
            _write_lines(temporary / QUESTIONS, question_lines(corpus))


def _link_lines(graph: TopicGraph) -> Iterator[str]:
    """Yield the lines of `links.tsv`: titles, the place if the graph has places, and the kind of prerequisites."""
    for at, (source, target) in enumerate(zip(*graph.links(), strict=True)):
        columns = [graph.titles[source], graph.titles[target]]
        if graph.places is not None:
            columns.append(str(graph.places[at]))
        if graph.prerequisite is not None and graph.prerequisite[at]:
            columns.append(PREREQUISITE)
        yield "\t".join(columns)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def _read_topics(folder: Path, problems: Problems) -> dict[str, _Topic]:
    """Read `topics.jsonl` into a table by the canonical form of the title, in the order of the file."""
    path = folder / "topics.jsonl"
    topics: dict[str, _Topic] = {}
    for line, record in json_lines(path, _TopicLine, problems):
        title, key = record.title, canonical(record.title)
        if not key or title.splitlines() != [title] or any(unicodedata.category(c) == "Cc" for c in title):
            reason = f"title: expected one line of text without control characters, found {title[:60]!r}"
            problems.report(path, line, "malformed line", reason)
        elif key in topics:
            reason = f"the topic {title!r} is there already, on line {topics[key].line}"
            problems.report(path, line, "duplicate topic", reason)
        else:
            topics[key] = _Topic(line, title, record.category or "", record.textless)
    return topics


def _read_passages(folder: Path, topics: dict[str, _Topic], problems: Problems) -> _Passages:
    """Read `passages.jsonl` or `passages.parquet`."""
    lines, columns = folder / "passages.jsonl", folder / "passages.parquet"
    if lines.exists() and columns.exists():
        raise DataError(folder, None, "holds both passages.jsonl and passages.parquet; keep one of them")
    path = columns if columns.exists() else lines
    read = _Passages([], [], [])
    for line, record in (parquet_rows if path is columns else json_lines)(path, _PassageLine, problems):
        key = canonical(record.topic)
        if key not in topics:
            problems.report(path, line, "passage of an unknown topic", f"{record.topic!r} is not a topic")
        elif not record.text.strip() or (len(record.text) <= _MOST_BLANK and not canonical(record.text)):
            problems.report(path, line, "empty passage", f"the passage of {record.topic!r} is empty")
        elif read.splits and (record.split is None) != (read.splits[0] is None):
            problems.report(
                path, line, "passage without a split among split ones", "give all passages a split, or none"
            )
        else:
            read.keys.append(key)
            read.texts.append(record.text)
            read.splits.append(None if record.split is None else _SPLITS[record.split])
    return read


def _drop_textless(folder: Path, topics: dict[str, _Topic], passages: _Passages, problems: Problems) -> set[str]:
    """Report topics without text that are not marked as textless, remove them from the table, return their keys."""
    lacking = [key for key in topics.keys() - set(passages.keys) if not topics[key].textless]
    for key in sorted(lacking, key=lambda key: topics[key].line):  # so that the first in the file is reported
        reason = f'the topic {topics[key].title!r} has no text; say "textless": true if that is meant'
        problems.report(folder / "topics.jsonl", topics[key].line, "topic without text", reason)
        del topics[key]
    return set(lacking)


def _read_links(folder: Path, number: dict[str, int], skipped: set[str], problems: Problems) -> _Links:
    """Read `links.tsv` into topic numbers."""
    path = folder / "links.tsv"
    links = _Links([], [], [], {})
    for line, text in lines_of(path, problems):
        written, more = text.split("\t")[:2], text.split("\t")[2:]
        ends = [canonical(title) for title in written]
        place, kind = (more[:1], more[1:]) if more and _PLACE.fullmatch(more[0]) else ([], more)
        unknown = [key for key in ends if key not in number]
        if len(ends) != 2 or len(kind) > 1 or not _KINDS.issuperset(kind):
            problems.report(path, line, "malformed line", _malformed(kind))
        elif unknown:
            # A link of a topic that was skipped for its lack of text is not a mistake of the links file.
            of_textless = _OF_TEXTLESS if skipped.issuperset(unknown) else "dangling link"
            problems.report(path, line, of_textless, f"{written[ends.index(unknown[0])]!r} is not a topic")
        elif links.sources and bool(place) != bool(links.places):
            problems.report(path, line, "link without a place among placed ones", "give all links a place, or none")
        else:
            links.sources.append(number[ends[0]])
            links.targets.append(number[ends[1]])
            links.places += map(int, place)
            if kind == [PREREQUISITE]:
                links.needed.setdefault((number[ends[0]], number[ends[1]]), line)
    return links


def _malformed(kind: list[str]) -> str:
    """Return what is wrong with a line of `links.tsv` that has these columns behind titles and place."""
    what = "a link is two titles with one tab between them, and optionally a number of words and a kind, which is"
    wanted = f"{what} {' or '.join(sorted(_KINDS))}"
    if len(kind) != 1:
        return wanted
    close = closest_name(kind[0], _KINDS)
    return f"unknown kind of link {kind[0]!r}{f'; did you mean {close!r}?' if close else ':'} {wanted}"


def _drop_circles(folder: Path, links: _Links, titles: Sequence[str], problems: Problems) -> None:
    """Report prerequisites that close a circle, and take them for plain links."""
    for circle in circles(list(links.needed)):
        closing = circle[-1], circle[0]
        reason = f"prerequisites go round in a circle: {circle_text(titles, circle)}; take one of them out"
        problems.report(folder / "links.tsv", links.needed[closing], "circle of prerequisites", reason)
        del links.needed[closing]


def _assemble(
    name: str, graph: TopicGraph, topics: IntArray, passages: _Passages, questions: list[Cloze], exam: OwnExam | None
) -> Corpus:
    """Order passages by topic; if they have no splits, draw them and drop near-duplicates."""
    order = np.argsort(topics, kind="stable")  # passages of a topic stay in text order
    topics, texts = topics[order], [passages.texts[i] for i in order]
    if None not in passages.splits:  # given splits are taken as they are, near-duplicates included
        splits = np.array(passages.splits, dtype=np.uint8)[order]
        if exam is None:
            return Corpus(name, graph, texts, topics, splits, questions)
        keep = (splits != Split.EXAM) & ~repeated_wording(exam.texts, texts)[1]
    else:
        splits = _drawn(graph, topics, texts)
        if exam is not None:  # what was drawn for the exam is for probes, and what was for probes is trained on
            splits = np.where(splits == Split.TRAIN, splits, splits - 1).astype(np.uint8)
        # Statements are exam text, too.
        held_out = [*(question.statement for question in questions), *(exam.texts if exam else ())]
        examined = np.full(len(held_out), Split.EXAM, dtype=np.uint8)
        keep = ~near_duplicates([*texts, *held_out], np.concatenate([splits, examined]))[: len(texts)]
    kept = np.flatnonzero(keep)
    topics, texts, splits = topics[kept], [texts[i] for i in kept], splits[kept]
    if exam is not None:
        topics = np.concatenate([topics, np.array(exam.topics, dtype=np.int32)])
        texts, splits = [*texts, *exam.texts], np.append(splits, np.full(len(exam.texts), Split.EXAM, dtype=np.uint8))
        order = np.argsort(topics, kind="stable")
        topics, texts, splits = topics[order], [texts[i] for i in order], splits[order]
    return Corpus(name, graph, texts, topics, splits, questions)


def _drawn(graph: TopicGraph, topics: IntArray, texts: list[str]) -> NDArray[np.uint8]:
    """Draw the splits of passages that are ordered by topic."""
    starts = np.searchsorted(topics, np.arange(len(graph) + 1))
    by_topic = [
        split_passages(title, texts[start:stop])
        for title, start, stop in zip(graph.titles, starts[:-1], starts[1:], strict=True)
    ]
    return np.concatenate(by_topic)
