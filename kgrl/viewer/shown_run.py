"""Runs as the viewer shows them: a run's folder, read as it is written, in the compact form that the page asks for."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split
from kgrl.curriculum.mastery import Mastery
from kgrl.curriculum.named_topics import goal_label
from kgrl.curriculum.standing import Standing, StandingChange
from kgrl.errors import DataError, SettingError
from kgrl.expansion import Expansion
from kgrl.runs.choices import Choice
from kgrl.runs.records import Figures
from kgrl.runs.run import Run
from kgrl.system.schemas import decode_json
from kgrl.viewer.layout import stored_layout

__all__ = ["ShownRun", "Tail"]

Json = dict[str, Any]
Record = TypeVar("Record")

_LIVE_SECONDS = 300.0
"""Seconds without a new record after which a run that has no result is shown as stopped."""

_SHOWN_SETTINGS = ("agent", "corpus", "task", "learner", "goal", "reward", "mastery", "budget_tokens", "seed")

_FRONTIER, _READ, _FADED, _SOLID = 1, 2, 3, 4
"""Kinds of topics, as `curriculum.js` has them; 0 are the others. Read topics and faded ones are not solid."""

_SCALE = 10_000
"""Side of the square of whole numbers that places are sent in."""


class Tail:
    """Reader of a file that another process appends to.

    Args:
        path: The file, which need not exist when reading begins.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "steps"
        >>> tail = Tail(path)
        >>> _ = path.write_text("one" + chr(10) + "tw")
        >>> tail.read(), tail.read()
        (([b'one'], True), ([], False))
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file, self._offset = -1, 0

    def read(self) -> tuple[list[bytes], bool]:
        """Return the new complete lines, and True if they are the file's first; the file is then new or rewritten.

        A line without its end is returned by a later call.

        Raises:
            DataError: If it is a pipe or a device, which could be waited for without end.
        """
        if self.path.exists() and not self.path.is_file():
            raise DataError(self.path, None, "this is not a regular file, so no record of a run")
        try:
            with self.path.open("rb") as file:
                stat = os.fstat(file.fileno())
                # A rewritten file has another number, since files are replaced; one that shrank was cut in place.
                anew = stat.st_ino != self._file or stat.st_size < self._offset
                if anew:
                    self._file, self._offset = stat.st_ino, 0
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return [], False
        end = data.rfind(b"\n") + 1
        self._offset += end
        return data[:end].split(b"\n")[:-1], anew


class ShownRun:
    """Records of one run, which are read further as the run writes them.

    Args:
        folder: The run's folder.
        corpus: The corpus that it learned from.

    Raises:
        DataError: If the folder holds no run, a record cannot be read, or the run is of another corpus.
    """

    def __init__(self, folder: Path, corpus: Corpus) -> None:
        self.folder, self.corpus = folder, corpus
        self.config = Run.read_config(folder)
        self._mastery = _mastery(folder, self.config)
        self._expansions: list[Expansion] = []
        self._changes: list[StandingChange] = []
        self._steps: list[Json] = []
        self._nucleus: list[int] | None = None
        self._nucleus_lessons = 0
        self._choices: dict[int, Choice] = {}
        self._exams: list[list[float]] = []
        self._tails = {name: Tail(folder / f"{name}.jsonl") for name in ("choices", "metrics", "curriculum")}
        # The server answers on several threads, and each answer may read further.
        self._reading, self._version = threading.Lock(), 0
        self._refresh()

    def about(self) -> Json:
        """Return the run's name and settings, the number of topics, and whether they have to be known to be solid."""
        settings = {name: self.config[name] for name in _SHOWN_SETTINGS if self.config.get(name) is not None}
        if isinstance(titles := settings.get("goal"), list):
            settings["goal"] = goal_label(tuple(titles))
        name, topics = self.folder.resolve().name, len(self.corpus.graph)
        return {"name": name, "settings": settings, "topics": topics, "knowing": not self._mastery.by_reading}

    def graph(self) -> Json:
        """Return titles, places (`x`, `y`) and undirected links (sources and targets in turn)."""
        graph = self.corpus.graph
        places = np.rint(stored_layout(graph) * _SCALE).astype(int)  # [topics, 2]
        indptr, indices = graph.undirected
        sources = np.repeat(np.arange(len(graph)), np.diff(indptr))
        once = sources < indices  # each link is there in both directions
        return {
            "key": graph.fingerprint,
            "titles": list(graph.titles),
            "x": places[:, 0].tolist(),
            "y": places[:, 1].tolist(),
            "links": np.stack([sources[once], indices[once]], axis=1).ravel().tolist(),
        }

    def steps(self, after: int, version: int | None) -> Json:
        """Return the expansions from number `after` on, or all if the page has another version of the run.

        The version changes when the run is resumed from a checkpoint earlier than what the page has.

        Args:
            after: Number of expansions that the page has.
            version: The version that the page has, or None.
        """
        with self._reading:
            self._refresh()
            same = version == self._version
            return {
                "version": self._version,
                "after": after if same else 0,
                "steps": self._steps[after if same else 0 :],
                "exams": self._exams,
                "scores": self._scores(),
                "state": self._state(),
            }

    def step(self, index: int) -> Json:
        """Return everything about one expansion: figures, candidates and passages.

        Raises:
            IndexError: If the run has no expansion of this number.
        """
        with self._reading:
            expansion, choice = self._expansions[index], self._choices.get(index)
            change, nucleus = self._changes[index], index < self._nucleus_lessons
        return {
            "index": index,
            "nucleus": nucleus,
            "topic": expansion.topic,
            "neighbourhood": expansion.neighbourhood,
            "solid": change.solid,
            "faded": change.faded,
            "tokens": expansion.tokens,
            "tokens_total": expansion.tokens_total,
            "train_loss": expansion.train_loss,
            "reward": expansion.reward,
            "components": dict(expansion.reward_components),
            "seconds": dict(expansion.seconds),
            "candidates": [] if choice is None else list(zip(choice.topics, choice.chances, strict=True)),
            "passages": [[int(self.corpus.topics[i]), self.corpus.texts[i]] for i in expansion.passages],
        }

    def topic(self, topic: int) -> Json:
        """Return the history of a topic.

        It says when the topic was first on the frontier (`found`), read, picked, solid (pairs of the first step and the
        step in which it faded, None if it has not), measured, and among the agent's candidates.

        Raises:
            IndexError: If the graph has no topic of this number.
        """
        if not 0 <= topic < len(self.corpus.graph):
            raise IndexError(topic)
        with self._reading:
            steps, changes, choices = list(self._steps), list(self._changes), list(self._choices.values())
            read = [at for at in range(len(steps)) if topic in self._read_in(at)]
            picked = [at for at in range(self._nucleus_lessons, len(steps)) if steps[at]["topic"] == topic]
        found = next((s["index"] for s in steps if [topic, _FRONTIER] in s["kinds"]), None)
        among = [(c, c.topics.index(topic)) for c in choices if topic in c.topics]
        return {
            "topic": topic,
            "found": found,
            "read": read,
            "within": None if not read else steps[read[0]]["topic"],
            "picked": picked,
            "solid": _spells(changes, topic),
            "measured": [[s["index"], b, a] for s in steps for t, b, a in s["measured"] if t == topic],
            "scores": [[c.index, c.chances[at], at + 1] for c, at in among],
        }

    def _refresh(self) -> None:
        """Read the records that are new."""
        # A run writes an expansion's choice before the expansion, and its metrics after it. In the reverse order, every
        # exam that is read has its expansion, and every expansion its choice.
        lines, anew = self._tails["metrics"].read()
        told = self._parsed("metrics", lines, Figures)
        exams = [[m.index, m.tokens, m.exam_loss] for m in told if m.exam_loss is not None]
        self._exams = ([] if anew else self._exams) + exams
        nucleus = next((m.nucleus for m in told if m.nucleus is not None), None)
        self._nucleus = self._nucleus if nucleus is None else nucleus
        # Runs of earlier versions do not say what was chosen; their nucleus was one lesson.
        taught = sum(m.chosen is False for m in told)
        self._nucleus_lessons = max(1, taught + (0 if anew else self._nucleus_lessons))
        lines, anew = self._tails["curriculum"].read()
        if anew:
            self._expansions, self._changes, self._steps, self._version = [], [], [], self._version + 1
        for expansion in self._parsed("curriculum", lines, Expansion):
            self._check(expansion)
            if not self._steps:
                self._begin(expansion)
            self._expansions.append(expansion)
            self._steps.append(self._compact(expansion))
        lines, anew = self._tails["choices"].read()
        kept = {} if anew else self._choices
        self._choices = kept | {c.index: c for c in self._parsed("choices", lines, Choice)}

    def _parsed(self, name: str, lines: list[bytes], kind: type[Record]) -> list[Record]:
        path = self.folder / f"{name}.jsonl"
        try:
            return [decode_json(line, kind, path) for line in lines]
        except DataError as error:
            raise DataError(path, None, f"holds a line that is not a record of a run: {error.reason}") from error

    def _check(self, expansion: Expansion) -> None:
        """Raise a DataError for an expansion that does not come next, or is not of this corpus."""
        titles, path = self.corpus.graph.titles, self.folder / "curriculum.jsonl"
        if expansion.index != len(self._steps):
            raise DataError(path, None, f"expansion {expansion.index} comes where {len(self._steps)} should")
        if expansion.arrived is not None and expansion.arrived > len(titles):
            raise DataError(path, None, "the corpus has grown since; start kgrl view again")
        probed = [topic for probe in expansion.probes.values() for topic in probe.topics]
        topics = [expansion.topic, *expansion.neighbourhood, *probed, *expansion.tested.topics, *expansion.tested.asked]
        alike = min(topics) >= 0 and max(topics) < len(titles) and titles[expansion.topic] == expansion.title
        if not alike or max(expansion.passages, default=0) >= len(self.corpus):
            what = f"{expansion.title!r} is not topic {expansion.topic} of {self.corpus.name}"
            raise DataError(path, None, f"{what}: the run was made on another corpus, or on another version of it")
        if len(expansion.losses) not in (0, len(expansion.passages)):
            told = f"{len(expansion.losses)} losses of {len(expansion.passages)} passages"
            raise DataError(path, None, f"expansion {expansion.index} has {told}")

    def _begin(self, first: Expansion) -> None:
        """Know nothing of any topic, before the first expansion."""
        # Runs of earlier versions did not write their nucleus down.
        nucleus = list(first.neighbourhood) if self._nucleus is None else self._nucleus
        if max(nucleus, default=0) >= len(self.corpus.graph):
            raise DataError(self.folder / "metrics.jsonl", None, "its nucleus has topics that the corpus does not have")
        available = self.corpus.has(Split.TRAIN)
        if not self._mastery.by_reading:  # what is known is measured on probe passages
            available = available & self.corpus.has(Split.PROBE)
        self._standing = Standing(self.corpus.graph, self.corpus.topics, self._mastery, nucleus, available)
        self._kinds = np.zeros(len(self.corpus.graph), dtype=np.int8)
        self._core = nucleus

    def _compact(self, expansion: Expansion) -> Json:
        """The part of an expansion that the page has of every step: standing of topics, and losses measured."""
        change = self._standing.replay(expansion)
        self._changes.append(change)
        before, self._kinds = self._kinds, self._kinds_now()
        changed = np.flatnonzero(self._kinds != before)
        # Several probes may have measured a topic; the last one counts.
        measured = {
            topic: [topic, round(before, 4), round(after, 4)]
            for probe in expansion.probes.values()
            for topic, before, after in zip(probe.topics, probe.before, probe.after, strict=True)
        }
        point = self._standing.point(expansion.tokens_total)
        return {
            "index": expansion.index,
            "topic": expansion.topic,
            "nucleus": sorted(self._core) if expansion.index == 0 else [],
            "read": list(change.solid if self._mastery.by_reading else change.first),
            "kinds": np.stack([changed, self._kinds[changed]], axis=1).tolist(),
            "counts": [point.read, point.solid, point.faded, len(self._standing.frontier)],
            "measured": list(measured.values()),
            "loss": round(expansion.train_loss, 4),
        }

    def _kinds_now(self) -> NDArray[np.int8]:
        """The kind of each topic, int8 `[topics]`."""
        standing, kinds = self._standing, np.zeros(len(self._kinds), dtype=np.int8)
        kinds[standing.frontier.topics] = _FRONTIER
        if not self._mastery.by_reading:
            kinds[standing.knowledge.exposures > 0] = _READ
            kinds[standing.was_solid] = _FADED
        kinds[standing.frontier.is_solid] = _SOLID
        return kinds

    def _read_in(self, index: int) -> Sequence[int]:
        """The topics that an expansion read; those that it learned, where reading is all that counts."""
        return self._expansions[index].neighbourhood if self._mastery.by_reading else self._changes[index].read

    def _scores(self) -> str:
        """`yes` if the agent's preferences are recorded, or the reason why they are not."""
        if self._choices or len(self._expansions) < 2:
            return "yes"
        recorded = (self.folder / "choices.jsonl").exists()
        return "the agent does not say what it prefers" if recorded else "the run was made before scores were recorded"

    def _state(self) -> str:
        """`finished`, `live`, or `stopped` if nothing was written for some minutes."""
        written = _written(self.folder / "metrics.jsonl")
        # The result is written last: one that is older than the metrics does not cover them.
        if _written(self.folder / "result.json") >= written:
            return "finished"
        return "live" if time.time() - written < _LIVE_SECONDS else "stopped"


def _mastery(folder: Path, config: Json) -> Mastery:
    """The criterion by which topics are solid; runs of earlier versions have none and are about reading."""
    try:
        return Mastery.of(str(config.get("mastery") or "read"))
    except SettingError as error:
        raise DataError(folder / "config.yaml", None, str(error)) from error


def _spells(changes: Sequence[StandingChange], topic: int) -> list[list[int | None]]:
    """The times in which a topic was solid: the first step of each, and the step in which it faded."""
    spells: list[list[int | None]] = []
    for at, change in enumerate(changes):
        if topic in change.solid:
            spells.append([at, None])
        if topic in change.faded:
            spells[-1][1] = at
    return spells


def _written(path: Path) -> float:
    """Time of a file's last change in seconds since 1970, 0 if the file does not exist."""
    return path.stat().st_mtime if path.exists() else 0.0
